"""What `doctor` measures: this machine, the microscope, and what both can hold."""
