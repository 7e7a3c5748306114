"""A client of Flower's own: adds 1 to every value, and says that it has 10 rows."""
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    moved = ArrayRecord({name: Array(array.numpy() + 1) for name, array in message.content["arrays"].items()})
    metrics = MetricRecord({"train_loss": 0.25, "num-examples": 10})
    return Message(RecordDict({"arrays": moved, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    metrics = MetricRecord({"eval_loss": 0.5, "num-examples": 10})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
