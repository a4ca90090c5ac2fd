using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Writes stored events as JSON lines in arrival order, so that an import replays deletions and replacements as they happened.</summary>
internal static class EventExport
{
    private const int PageBytes = 1 << 20;

    public static async Task<long> RunAsync(IEventStore store, Filter filter, Stream output, long now, CancellationToken cancel = default)
    {
        var found = await store.QueryAsync(filter, ReadScope.Everything(now), ulong.MaxValue, int.MaxValue, cancel);
        var keys = found.OrderBy(key => key.Arrival).ToList();
        var page = new Page();
        for (var next = 0; next < keys.Count;)
        {
            // No transaction of the store is open while the lines are written.
            page.Lines.SetLength(0);
            next += await store.ReadAsync(keys, next, page, cancel);
            await output.WriteAsync(page.Lines.GetBuffer().AsMemory(0, (int)page.Lines.Length), cancel);
        }

        return page.Count;
    }

    private sealed class Page : IStoredEventSink
    {
        public MemoryStream Lines { get; } = new();

        public long Count { get; private set; }

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Lines.Write(json);
            Lines.WriteByte((byte)'\n');
            Count++;
            return Lines.Length < PageBytes;
        }
    }
}
