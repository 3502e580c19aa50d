"""Reads a dogear/1 checkpoint with Python 3.10 or later: python3 read_checkpoint.py runs/digits/checkpoints/checkpoint_12"""
import json, sys, zlib
CODES = dict(F32="f", F64="d", C64="f", BOOL="B", U8="B", I8="b", U16="H", I16="h", U32="I", I32="i", U64="Q", I64="q")

def tensors(data):  # of a .safetensors file: name -> values, flat and row-major, C64 as pairs
    start = 8 + int.from_bytes(data[:8], "little")
    entries = [(name, t) for name, t in json.loads(data[8:start]).items() if name != "__metadata__"]
    return {name: memoryview(data)[start:][slice(*t["data_offsets"])].cast(CODES[t["dtype"]]) for name, t in entries}

def value(node, files):  # a node of the state tree as a Python value
    match node:
        case [*items]: return [value(item, files) for item in items]
        case {"record": pairs}: return {name: value(child, files) for name, child in pairs}
        case {"array": [dtype, shape, file, name]}: return {"dtype": dtype, "shape": shape, "values": files[file][name]}
        case {"kind": kind, "state": state}: return {"kind": kind, "state": value(state, files)}
        case {"aside": child}: return value(child, files)
        case {"number": text} | {"bigint": text}: return (float if "number" in node else int)(text)
    return node  # null, a boolean, a number, a string, or {"shared": the path of the same object}

def read(folder):  # component -> value
    text = open(f"{folder}/snapshot.json", "rb").read()  # {"format":"dogear/1","crc32":"01234567","manifest":BODY}
    seal = json.loads(text)
    if seal["format"] != "dogear/1": raise ValueError(f"cannot read the format {seal['format']}")
    files = [(name, open(f"{folder}/{name}", "rb").read(), crc) for name, _, crc, _ in seal["manifest"]["files"]]
    for name, data, crc in [("snapshot.json", text[51:-2], seal["crc32"]), *files]:
        if zlib.crc32(data) != int(crc, 16): raise ValueError(f"{name} is damaged")
    parts = [tensors(data) if name.endswith(".safetensors") else {} for name, data, _ in files]
    return {name: value(tree, parts) for name, tree in seal["manifest"]["components"]}

if __name__ == "__main__": json.dump(read(sys.argv[1]), sys.stdout, default=list)
