#!/usr/bin/env python3
"""Made the images of this folder, with Pillow 13: make.py, here. Each holds the picture of its .png in another format."""
import random

from PIL import Image

rng = random.Random(3)
plain = Image.new("RGB", (13, 7))
plain.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(91)])
plain.save("plain.png")
plain.save("plain.bmp")
plain.save("plain.tif", compression="tiff_lzw")
plain.save("plain.webp", lossless=True)
colours = plain.convert("P", palette=Image.Palette.ADAPTIVE, colors=91)
colours.save("plain.gif", interlace=1)
colours.save("palette.bmp")
colours.convert("RGB").save("palette.png")
alpha = Image.new("RGBA", (13, 7))
alpha.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256), rng.choice((0, 40, 128, 255))) for _ in range(91)])
alpha.save("alpha.png")
alpha.save("alpha.tif", compression="tiff_adobe_deflate")
alpha.save("alpha.webp", lossless=True, exact=True)
exif = Image.Exif()
exif[0x0112] = 6
# shows as plain when it is turned by 90 degrees clockwise
plain.rotate(90, expand=True).save("turned.jpg", exif=exif, quality=100, subsampling=0)
plain.rotate(90, expand=True).save("turned.tif", tiffinfo={0x0112: 6})
grey = plain.convert("L")
grey.save("grey.png")
grey.save("grey.tif")
