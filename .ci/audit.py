"""What the README promises of a wheel: its size, its tag, the libraries it needs, and what importing it costs."""

import subprocess
import sys
import zipfile
from pathlib import Path

wheel = Path(sys.argv[1])
size = wheel.stat().st_size
print(f"{wheel.name}: {size / 1e3:.0f} kB")
if size > 1_000_000:
    sys.exit("the wheel is larger than 1 MB")
if "manylinux" not in wheel.name and "musllinux" not in wheel.name:
    sys.exit("the wheel has no manylinux or musllinux tag")
if bundled := [name for name in zipfile.ZipFile(wheel).namelist() if ".libs/" in name]:
    sys.exit(f"the wheel brings libraries of its own: {bundled}")
shown = subprocess.run(["auditwheel", "show", wheel], capture_output=True, text=True, check=True).stdout
print(shown)
