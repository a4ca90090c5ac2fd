using System.Globalization;
using System.Text;
using System.Text.Json;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Stored events as an operator looks for them: id, kind, author, date and size, never content.</summary>
internal static class EventListing
{
    /// <summary>Events listed when the filter names no limit.</summary>
    public const int DefaultLimit = 100;

    /// <summary>One line of the list.</summary>
    internal readonly record struct Line(Bytes32 Id, int Kind, Bytes32 Author, long CreatedAt, int Bytes);

    /// <summary>The newest events that a filter selects, gift wraps included.</summary>
    public static async Task<IReadOnlyList<Line>> FindAsync(IEventStore store, Filter filter, long now, CancellationToken cancel)
    {
        var keys = await store.QueryAsync(filter, ReadScope.Everything(now), ulong.MaxValue, filter.Limit ?? DefaultLimit, cancel);
        var lines = new Lines();
        for (var next = 0; next < keys.Count;)
        {
            next += Math.Max(1, await store.ReadAsync(keys, next, lines, cancel));
        }

        return lines.All;
    }

    public static async Task<int> RunAsync(IEventStore store, Filter filter, bool json, CommandStreams streams, TimeProvider clock, CancellationToken cancel)
    {
        var lines = await FindAsync(store, filter, clock.GetUtcNow().ToUnixTimeSeconds(), cancel);
        var text = new StringBuilder();
        foreach (var line in lines)
        {
            text.AppendLine(json
                ? JsonSerializer.Serialize(
                    new { id = line.Id.ToString(), kind = line.Kind, pubkey = line.Author.ToString(), created_at = line.CreatedAt, bytes = line.Bytes })
                : string.Create(CultureInfo.InvariantCulture,
                    $"{line.Id}  {line.Kind,5}  {Nip19.EncodePublicKey(line.Author)}  ")
                    + string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.FromUnixTimeSeconds(line.CreatedAt):yyyy-MM-dd HH:mm}  {line.Bytes,7}"));
        }

        await streams.Output.WriteAsync(Encoding.UTF8.GetBytes(text.ToString()), cancel);
        await streams.Say($"{lines.Count} listed");
        return 0;
    }

    private sealed class Lines : IStoredEventSink
    {
        public List<Line> All { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            if (Protocol.Events.NostrEventReader.TryRead(json, out var view, out _))
            {
                All.Add(new Line(view.Id, view.Kind, view.PublicKey, view.CreatedAt, json.Length));
            }

            return true;
        }
    }
}
