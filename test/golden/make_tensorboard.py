"""Makes tensorboard.json: records as TensorBoard 2.21.0 itself writes them. python make_tensorboard.py > tensorboard.json"""
import io
import json

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def record(event):
    stream = io.BytesIO()
    RecordWriter(stream).write(event.SerializeToString(deterministic=True))
    return stream.getvalue().hex()


SECONDS = 1732646400.25
SCALARS = {'train/loss': 2.0385, 'train/learning_rate': 2e-4, 'eval/loss': float('nan')}
summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in SCALARS.items()])
start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
print(json.dumps({
    'seconds': SECONDS,
    'version': record(event_pb2.Event(wall_time=SECONDS, file_version='brain.Event:2')),
    'restart': {'step': 41, 'record': record(event_pb2.Event(wall_time=SECONDS, step=41, session_log=start))},
    'scalars': {'step': 300_000, 'record': record(event_pb2.Event(wall_time=SECONDS, step=300_000, summary=summary))},
}, indent=2))
