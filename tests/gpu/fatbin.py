"""Which architectures a library holds device code for: fatbin.py LIBRARY prints "code sm_75 sm_80 ...; PTX sm_120".

The section .nv_fatbin is a row of containers (CUDA's fatbinary.h): magic, version and header size in 16 bits each, the size of
the entries in 64; an entry has its kind in 16 bits (1: PTX, 2: code), its header's size at byte 4, its own at byte 8 and the
architecture at byte 28."""
import struct
import subprocess
import sys
import tempfile

with tempfile.NamedTemporaryFile() as section:
    subprocess.run(["objcopy", "-O", "binary", "--only-section=.nv_fatbin", sys.argv[1], section.name], check=True)
    data = open(section.name, "rb").read()
found = {1: set(), 2: set()}
place = data.find(struct.pack("<I", 0xBA55ED50))
while place >= 0:
    header, size = struct.unpack_from("<HQ", data, place + 6)
    entry, end = place + header, place + header + size
    while entry < end:
        kind, own, payload = struct.unpack_from("<H", data, entry)[0], *struct.unpack_from("<IQ", data, entry + 4)
        found[kind].add(struct.unpack_from("<I", data, entry + 28)[0])
        entry += own + payload
    place = data.find(struct.pack("<I", 0xBA55ED50), end)
names = {kind: " ".join(f"sm_{arch}" for arch in sorted(found[kind])) for kind in found}
print(f"code {names[2]}; PTX {names[1]}")
