"""Picasso's Gaussian fits as localizers of dblink_live."""

from dblink_live_picasso.localizer import PicassoLocalizer, PicassoLQ, PicassoMLE

__all__ = ["PicassoLQ", "PicassoLocalizer", "PicassoMLE"]
