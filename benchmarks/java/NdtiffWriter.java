// Writes datasets with Micro-Manager's own Java library, NDTiffStorage, for benchmarks/ndtiff_java.py:
//
//     java -cp NDTIFF.jar benchmarks/java/NdtiffWriter.java
//
// Each line of standard input asks for one dataset: FOLDER, NAME, FRAMES, SIZE, FPS (0: as fast as it goes) and a file
// for the times, separated by tabs. Frame i has the pixel 7 k + 31 i at place k. Each is answered by a line: frames per
// second, from the first image that was handed over until the last one was on disk.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.Future;
import mmcorej.org.json.JSONObject;
import org.micromanager.ndtiffstorage.NDTiffStorage;

public class NdtiffWriter {
   private static final int QUEUE = 50;

   public static void main(String[] arguments) throws Exception {
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
      System.out.println("ready");
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
         String[] asked = line.split("\t");
         System.out.println(write(asked[0], asked[1], Integer.parseInt(asked[2]), Integer.parseInt(asked[3]),
                 Double.parseDouble(asked[4]), Path.of(asked[5])));
      }
   }

   private static double write(String folder, String name, int nFrames, int size, double fps, Path timesFile)
           throws Exception {
      JSONObject summary = new JSONObject();
      summary.put("PixelSizeUm", 0.1);
      NDTiffStorage storage = new NDTiffStorage(folder, name, summary, 0, 0, false, null, QUEUE, null, true);
      List<Future<?>> written = new ArrayList<>(nFrames);
      ByteBuffer times = ByteBuffer.allocate(8 * nFrames).order(ByteOrder.LITTLE_ENDIAN);
      long started = System.nanoTime();
      for (int number = 0; number < nFrames; number++) {
         short[] pixels = new short[size * size];
         for (int place = 0; place < pixels.length; place++) {
            pixels[place] = (short) (7 * place + 31 * number);
         }
         JSONObject metadata = new JSONObject();
         metadata.put("Exposure", 5.0);
         metadata.put("BitDepth", 16);
         HashMap<String, Object> axes = new HashMap<>();
         axes.put("time", number);
         if (fps > 0) {
            long wait = Math.round(number / fps * 1e9) - (System.nanoTime() - started);
            if (wait > 0) {
               Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
            }
         }
         times.putLong(System.nanoTime());
         written.add(storage.putImage(pixels, metadata, axes, false, 16, size, size));
      }
      for (Future<?> one : written) {
         one.get();
      }
      double seconds = (System.nanoTime() - started) * 1e-9;
      storage.finishedWriting();
      storage.closeAndWait();
      Files.write(timesFile, times.array());
      return nFrames / seconds;
   }
}
