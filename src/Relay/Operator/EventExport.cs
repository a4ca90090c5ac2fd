using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Writes stored events as JSON lines in arrival order, so that an import replays deletions and replacements as they happened.</summary>
internal static class EventExport
{
    public static async Task<long> RunAsync(IEventStore store, Filter filter, Stream output, long now)
    {
        var found = await store.QueryAsync(filter, ReadScope.Everything(now), ulong.MaxValue, int.MaxValue, CancellationToken.None);
        var keys = found.OrderBy(key => key.Arrival).ToList();
        await using var buffered = new BufferedStream(output, 1 << 16);
        var sink = new LineSink(buffered);
        await store.ReadAsync(keys, 0, sink, CancellationToken.None);
        return sink.Count;
    }

    private sealed class LineSink(Stream output) : IStoredEventSink
    {
        public long Count { get; private set; }

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            output.Write(json);
            output.WriteByte((byte)'\n');
            Count++;
            return true;
        }
    }
}
