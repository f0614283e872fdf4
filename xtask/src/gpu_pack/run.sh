#!/bin/sh
# Checks this machine's GPU with the programs beside this script: sh run.sh [--dry-run-on-cpu]
# The report goes to the folder $OUT, or to `out` beside this script. ONNX Runtime is taken from `lib` here, else from
# ORT_DYLIB_PATH, else from where `avdit doctor` finds one; NVIDIA's libraries from the Python packages of $PYTHON
# (python3 if not set), where it has them.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

for library in "$here"/lib/libonnxruntime.so*; do
    if [ -f "$library" ]; then
        export ORT_DYLIB_PATH="$library"
    fi
done

python=${PYTHON:-python3}
if command -v "$python" >/dev/null 2>&1; then
    ask='import site, sysconfig
for folder in dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()]):
    print(folder)'
    packages=$("$python" -c "$ask" 2>/dev/null || true)
    saved=$IFS
    IFS='
'
    for folder in $packages; do
        for library in "$folder"/nvidia/*/lib "$folder"/tensorrt_libs; do
            if [ -d "$library" ]; then
                LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$library"
            fi
        done
    done
    IFS=$saved
    if [ -n "${LD_LIBRARY_PATH:-}" ]; then
        export LD_LIBRARY_PATH
    fi
fi

exec "$here/bin/gpu_check" --avdit "$here/bin/avdit" --parity "$here/bin/parity" --golden "$here/golden" \
    --out "${OUT:-$here/out}" "$@"
