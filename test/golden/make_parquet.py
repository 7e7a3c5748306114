"""Parquet files of every compression, encoding and type of value that rows come in, and rows.jsonl: what they hold. pyarrow 26.0.1: make_parquet.py FOLDER"""
import datetime as d, json, sys
import pyarrow as pa, pyarrow.parquet as pq
out = sys.argv[1]
rows = [
  {"instruction": "Add.", "input": "1 and 2", "output": "3", "n": 1, "big": 2**60, "x": 0.5, "ok": True, "when": d.datetime(2024,5,6,7,8,9), "tags": ["a","b"], "meta": {"source": "x", "year": 2024}, "turns": [{"role":"user","content":"hé"},{"role":"assistant","content":"嗨"}], "raw": b"\xff\x00"},
  {"instruction": "Say hello.", "input": None, "output": "Hello!", "n": None, "big": -5, "x": None, "ok": False, "when": None, "tags": [], "meta": None, "turns": [], "raw": None},
] + [{"instruction": f"Double {i}.", "input": "", "output": str(2*i), "n": i, "big": i, "x": i/4, "ok": i%2==0, "when": None, "tags": ["t"]*(i%3), "meta": {"source": str(i), "year": i}, "turns": [], "raw": b""} for i in range(10)]
schema = pa.schema([("instruction", pa.string()), ("input", pa.string()), ("output", pa.large_string()), ("n", pa.int32()), ("big", pa.int64()), ("x", pa.float64()), ("ok", pa.bool_()), ("when", pa.timestamp("ms")), ("tags", pa.list_(pa.string())), ("meta", pa.struct([("source", pa.string()), ("year", pa.int16())])), ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))), ("raw", pa.binary())])
t = pa.Table.from_pylist(rows, schema=schema)
for c in ["none","snappy","gzip","zstd","brotli","lz4"]:
  pq.write_table(t, f"{out}/{c}.parquet", compression=c, row_group_size=5)
pq.write_table(t, f"{out}/v1.parquet", version="1.0", data_page_version="1.0", use_dictionary=False)
pq.write_table(t, f"{out}/v2.parquet", version="2.6", data_page_version="2.0", row_group_size=7)
pq.write_table(t.select(["instruction","input","output"]), f"{out}/delta.parquet", use_dictionary=False, column_encoding={"instruction":"DELTA_BYTE_ARRAY","input":"DELTA_LENGTH_BYTE_ARRAY","output":"DELTA_LENGTH_BYTE_ARRAY"})
pq.write_table(t.slice(0,0), f"{out}/empty.parquet")
import base64
def plain(v):
  if isinstance(v, d.datetime): return v.strftime("%Y-%m-%dT%H:%M:%S.000Z")
  if isinstance(v, bytes):
    try: return v.decode()
    except UnicodeDecodeError: return base64.b64encode(v).decode()
  if isinstance(v, dict): return {k: plain(x) for k,x in v.items()}
  if isinstance(v, list): return [plain(x) for x in v]
  return v
with open(f"{out}/rows.jsonl","w") as f:
  for r in rows: f.write(json.dumps(plain(r), ensure_ascii=False)+"\n")
