using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Tests.Storage;

/// <summary>What every event store does; each implementation derives.</summary>
public abstract class EventStoreContract : IAsyncLifetime
{
    internal const long Now = 1_700_000_000;
    private protected IEventStore Store { get; private set; } = null!;

    private protected abstract Task<IEventStore> OpenAsync();

    public async Task InitializeAsync() => Store = await OpenAsync();

    public virtual async Task DisposeAsync() => await Store.DisposeAsync();

    private protected async Task ReopenAsync()
    {
        await Store.DisposeAsync();
        Store = await OpenAsync();
    }

    internal static EventRecord Record(NostrEvent evt, bool vanishesHere = false) =>
        NostrEventReader.TryRead(evt.Json.Span, out var view, out var reason)
            ? EventRecord.Create(view, vanishesHere)
            : throw new InvalidOperationException(reason.ToString());

    private protected async Task<StoreVerdict> WriteAsync(NostrEvent evt, bool vanishesHere = false)
    {
        var write = new EventWrite(Record(evt, vanishesHere));
        await Store.WriteAsync([write], CancellationToken.None);
        return write.Verdict;
    }

    private protected async Task<List<string>> FindAsync(Filter filter, ReadScope? scope = null, int limit = 10_000)
    {
        var keys = await Store.QueryAsync(filter, scope ?? ReadScope.Everything(Now), Store.HighWaterMark, limit, CancellationToken.None);
        return [.. keys.Select(key => key.Id.ToString())];
    }

    [Fact]
    public async Task Keeps_events_over_a_restart_and_counts_arrivals_on()
    {
        using var key = SecretKey.Generate();
        var first = NostrEvent.Create(key, 1, [], "a", Now);
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(first));
        Assert.Equal(StoreVerdict.Duplicate, await WriteAsync(first));
        Assert.Equal(1UL, Store.HighWaterMark);
        await ReopenAsync();
        Assert.Equal(1UL, Store.HighWaterMark);
        Assert.True(Store.IsKnown(first.Id));
        var second = NostrEvent.Create(key, 1, [], "b", Now + 1);
        await WriteAsync(second);
        Assert.Equal(2UL, Store.HighWaterMark);
        Assert.Equal([second.Id.ToString(), first.Id.ToString()], await FindAsync(new Filter()));
    }

    [Fact]
    public async Task Judges_events_of_one_batch_against_each_other()
    {
        using var key = SecretKey.Generate();
        var a = NostrEvent.Create(key, 1, [["t", "x"]], "a", Now);
        var older = NostrEvent.Create(key, 10002, [], "old", Now);
        var newer = NostrEvent.Create(key, 10002, [], "new", Now + 1);
        var deletion = NostrEvent.Create(key, 5, [["e", a.Id.ToString()]], "", Now + 2);
        EventWrite[] batch = [.. new[] { a, a, newer, older, deletion, a }.Select(e => new EventWrite(Record(e)))];
        await Store.WriteAsync(batch, CancellationToken.None);
        Assert.Equal(
            [StoreVerdict.Stored, StoreVerdict.Duplicate, StoreVerdict.Stored, StoreVerdict.Superseded, StoreVerdict.Stored, StoreVerdict.Deleted],
            batch.Select(w => w.Verdict));
        Assert.Equal([deletion.Id.ToString(), newer.Id.ToString()], await FindAsync(new Filter()));
        Assert.Empty(await FindAsync(new Filter { Tags = new Dictionary<char, string[]> { ['t'] = ["x"] } }));
    }

    [Fact]
    public async Task Agrees_with_a_slow_obvious_filter()
    {
        var random = new Random(7);
        var keys = Enumerable.Range(0, 4).Select(_ => SecretKey.Generate()).ToArray();
        string[] values = ["a", "b", new('c', 64), "quote\" and \\ and \n", "ü"];
        int[] kinds = [1, 7, 445, 1059];
        var events = Enumerable.Range(0, 400).Select(i => NostrEvent.Create(
            keys[random.Next(keys.Length)],
            kinds[random.Next(kinds.Length)],
            [.. Enumerable.Range(0, random.Next(4)).Select(_ => new[] { random.Next(2) == 0 ? "t" : "h", values[random.Next(values.Length)] })],
            $"{i}",
            Now + random.Next(30))).ToArray();
        await Store.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);

        T[]? Some<T>(T[] all) => random.Next(3) > 0 ? null : [.. all.Where(_ => random.Next(2) == 0)];
        for (var round = 0; round < 500; round++)
        {
            var filter = new Filter
            {
                Ids = random.Next(8) > 0 ? null : [.. events.Where(_ => random.Next(20) == 0).Select(e => e.Id)],
                Authors = Some([.. keys.Select(k => k.PublicKey)]),
                Kinds = Some(kinds),
                Tags = new[] { 't', 'h' }.Where(_ => random.Next(3) == 0).ToDictionary(l => l, _ => values.Where(_ => random.Next(2) == 0).ToArray()),
                Since = random.Next(2) == 0 ? null : Now + random.Next(30),
                Until = random.Next(2) == 0 ? null : Now + random.Next(30),
                Limit = random.Next(2) == 0 ? null : random.Next(50),
            };
            var expected = events.Where(e => Obvious(filter, e))
                .OrderByDescending(e => e.CreatedAt).ThenBy(e => e.Id.ToString(), StringComparer.Ordinal)
                .Take(filter.Limit ?? int.MaxValue).Select(e => e.Id.ToString());
            Assert.Equal(expected, await FindAsync(filter));
        }
    }

    private static bool Obvious(Filter filter, NostrEvent evt) =>
        (filter.Ids is null || filter.Ids.Contains(evt.Id))
        && (filter.Authors is null || filter.Authors.Contains(evt.PublicKey))
        && (filter.Kinds is null || filter.Kinds.Contains(evt.Kind))
        && (filter.Since is null || evt.CreatedAt >= filter.Since)
        && (filter.Until is null || evt.CreatedAt <= filter.Until)
        && filter.Tags.All(wanted => evt.Tags.Any(tag => tag.Length > 1 && tag[0] == wanted.Key.ToString() && wanted.Value.Contains(tag[1])));

    [Fact]
    public async Task Leaves_out_what_came_after_the_mark()
    {
        using var key = SecretKey.Generate();
        var before = NostrEvent.Create(key, 1, [], "a", Now);
        await WriteAsync(before);
        var mark = Store.HighWaterMark;
        await WriteAsync(NostrEvent.Create(key, 1, [], "b", Now));
        var keys = await Store.QueryAsync(new Filter(), ReadScope.Everything(Now), mark, 10, CancellationToken.None);
        Assert.Equal(before.Id, Assert.Single(keys).Id);
    }

    [Fact]
    [Trait("Spec", "NIP-62")]
    public async Task Vanishing_removes_deletions_too_and_refuses_what_is_older()
    {
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", Now);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", new string('0', 64)]], "", Now + 1));
        var vanish = NostrEvent.Create(key, 62, [["relay", "ALL_RELAYS"]], "", Now + 5);
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(vanish, vanishesHere: true));
        Assert.Equal(StoreVerdict.Vanished, await WriteAsync(note));
        await ReopenAsync();
        Assert.Equal(StoreVerdict.Vanished, await WriteAsync(note));
        Assert.Equal([vanish.Id.ToString()], await FindAsync(new Filter()));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(NostrEvent.Create(key, 1, [], "later", Now + 6)));
    }

    [Fact]
    public async Task Reads_the_very_bytes()
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, 1, [["t", "\u0001\"\\\n/ü\U0001F600"]], "c\u007f</script>", Now);
        await WriteAsync(evt);
        var keys = await Store.QueryAsync(new Filter(), ReadScope.Everything(Now), Store.HighWaterMark, 10, CancellationToken.None);
        var sink = new CollectingSink();
        Assert.Equal(1, await Store.ReadAsync(keys, 0, sink, CancellationToken.None));
        Assert.Equal(Encoding.UTF8.GetString(evt.Json.Span), sink.Texts.Single());
    }

    private protected sealed class CollectingSink : IStoredEventSink
    {
        public List<string> Texts { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            Texts.Add(Encoding.UTF8.GetString(json));
            return true;
        }
    }
}
