using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Queries;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Queries;

namespace Marmot.Relay.Tests.Storage;

/// <summary>What every event store does; each implementation derives.</summary>
public abstract partial class EventStoreContract : IAsyncLifetime
{
    internal const long Now = 1_700_000_000;
    private protected IEventStore Store { get; private set; } = null!;

    private protected abstract Task<IEventStore> OpenAsync();

    /// <summary>An empty store of each kind, to import into.</summary>
    private protected abstract Task<IReadOnlyList<IEventStore>> OpenOthersAsync();

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

    private protected async Task<IReadOnlyList<StoredKey>> QueryAsync(Filter filter) =>
        await Store.QueryAsync(filter, ReadScope.Everything(Now), Store.HighWaterMark, 10_000, CancellationToken.None);

    private protected async Task<List<string>> FindAsync(Filter filter, ReadScope? scope = null, int limit = 10_000)
    {
        var keys = await Store.QueryAsync(filter, scope ?? ReadScope.Everything(Now), Store.HighWaterMark, limit, CancellationToken.None);
        return [.. keys.Select(key => key.Id.ToString())];
    }

    [Theory]
    [Trait("Spec", "NIP-67")]
    [InlineData(67)]
    [InlineData(20_261_130)]
    public async Task Says_whether_an_answer_is_whole_and_paging_by_it_gives_exactly_what_is_stored(int seed) =>
        await CompletenessModel.CheckAsync(Store, seed);

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
        Assert.Equal(StoreVerdict.Duplicate, await WriteAsync(first));
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
        var (scope, last) = (ReadScope.Everything(Now), new Filter { Limit = 3 });
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
            Assert.Equal(
                events.Count(e => Obvious(filter, e)),
                await Store.CountAsync(filter, ReadScope.Everything(Now), Store.HighWaterMark, CancellationToken.None));

            // A subscription with this filter and the one before, where the store answers that at once.
            if (await Store.TryAnswerAsync([filter, last], scope, 10_000, CancellationToken.None) is { } answer)
            {
                Assert.Equal(Store.HighWaterMark, answer.Mark);
                Assert.Equal(await StoredEventScan.FindAsync(Store, [filter, last], scope, answer.Mark, 10_000, CancellationToken.None), answer.Keys);
            }

            last = filter;
        }
    }

    private static bool Obvious(Filter filter, NostrEvent evt) =>
        (filter.Ids is null || filter.Ids.Contains(evt.Id))
        && (filter.Authors is null || filter.Authors.Contains(evt.PublicKey))
        && (filter.Kinds is null || filter.Kinds.Contains(evt.Kind))
        && (filter.Since is null || evt.CreatedAt >= filter.Since)
        && (filter.Until is null || evt.CreatedAt <= filter.Until)
        && filter.Tags.All(wanted => evt.Tags.Any(tag => tag.Length > 1 && tag[0] == wanted.Key.ToString() && wanted.Value.Contains(tag[1])));

    // The values of tags that are made to look alike to an index that shortens them: halves of keys in common, and a value beside the hex of its hash.
    [Fact]
    public async Task Tells_tag_values_apart_that_share_half_a_key_or_are_the_hash_of_another()
    {
        using var key = SecretKey.Generate();
        var half = new string('a', 32);
        string left = half + new string('1', 32), right = half + new string('2', 32), neither = half + new string('3', 32);
        var hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("word"u8));
        NostrEvent[] events =
        [
            NostrEvent.Create(key, 1, [["h", left]], "left", Now),
            NostrEvent.Create(key, 1, [["h", right]], "right", Now + 1),
            NostrEvent.Create(key, 1, [["h", left], ["h", right]], "both", Now + 2),
            NostrEvent.Create(key, 1, [.. Enumerable.Range(0, 20).Select(i => new[] { "h", $"{i}" }), ["h", right], ["h", left], ["h", right]],
                "many", Now + 3),
            NostrEvent.Create(key, 1, [["h", "word"]], "word", Now + 4),
            NostrEvent.Create(key, 1, [["h", hash]], "hash", Now + 5),
            NostrEvent.Create(key, 1, [["h", "word"], ["h", hash]], "word and hash", Now + 6),
            NostrEvent.Create(key, 1, [["h", left.ToUpperInvariant()]], "upper case", Now + 7),
        ];
        foreach (var evt in events)
        {
            Assert.Equal(StoreVerdict.Stored, await WriteAsync(evt));
        }

        foreach (string[] values in new[] { new[] { left }, [right], [neither], ["word"], [hash], [left, right], ["word", hash, "7"],
            [left.ToUpperInvariant()] })
        {
            foreach (var filter in new[]
            {
                new Filter { Tags = new Dictionary<char, string[]> { ['h'] = values } },
                new Filter { Tags = new Dictionary<char, string[]> { ['h'] = values }, Kinds = [1], Since = Now + 2 },
                new Filter { Tags = new Dictionary<char, string[]> { ['h'] = values, ['x'] = ["none"] } },
            })
            {
                Assert.Equal(events.Reverse().Where(e => IsMatch(filter, e)).Select(e => e.Id.ToString()), await FindAsync(filter));
            }
        }
    }

    private static bool IsMatch(Filter filter, NostrEvent evt) => NostrEventReader.TryRead(evt.Json.Span, out var view, out _) && filter.Matches(view);

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

    [Fact]
    [Trait("Spec", "NIP-59")]
    public async Task Shows_a_wrap_only_to_the_keys_in_its_p_tags()
    {
        using var sender = SecretKey.Generate();
        using var recipient = SecretKey.Generate();
        using var stranger = SecretKey.Generate();
        var wrap = NostrEvent.Create(sender, 1059, [["p", recipient.PublicKey.ToString()]], "sealed", Now);
        var note = NostrEvent.Create(sender, 1, [["p", recipient.PublicKey.ToString()]], "open", Now);
        await Store.WriteAsync([new EventWrite(Record(wrap)), new EventWrite(Record(note))], CancellationToken.None);

        foreach (var filter in new[]
        {
            new Filter(), new Filter { Authors = [sender.PublicKey] }, new Filter { Kinds = [1059, 1] }, new Filter { Ids = [wrap.Id, note.Id] },
            new Filter { Tags = new Dictionary<char, string[]> { ['p'] = [recipient.PublicKey.ToString()] } },
        })
        {
            Assert.Equal([note.Id.ToString()], await FindAsync(filter, new ReadScope([], false, Now)));
            Assert.Equal([note.Id.ToString()], await FindAsync(filter, new ReadScope([stranger.PublicKey, sender.PublicKey], false, Now)));
            Assert.Equal(2, (await FindAsync(filter, new ReadScope([stranger.PublicKey, recipient.PublicKey], false, Now))).Count);
            Assert.Equal(2, (await FindAsync(filter)).Count);
        }
    }

    [Fact]
    [Trait("Spec", "NIP-40")]
    public async Task Leaves_out_what_expired_and_removes_it_on_the_next_round()
    {
        using var key = SecretKey.Generate();
        var passing = NostrEvent.Create(key, 1, [["expiration", $"{Now + 5}"]], "a", Now);
        await WriteAsync(passing);
        Assert.Single(await FindAsync(new Filter(), ReadScope.Everything(Now + 4)));
        Assert.Empty(await FindAsync(new Filter(), ReadScope.Everything(Now + 5)));
        Assert.Empty(await FindAsync(new Filter { Ids = [passing.Id] }, ReadScope.Everything(Now + 5)));
        while (await Store.MaintainAsync(Now + 4, CancellationToken.None))
        {
        }

        Assert.Equal(1, (await Store.ReadStatisticsAsync(CancellationToken.None)).Events);
        while (await Store.MaintainAsync(Now + 5, CancellationToken.None))
        {
        }

        Assert.Equal(0, (await Store.ReadStatisticsAsync(CancellationToken.None)).Events);
    }

    [Fact]
    [Trait("Spec", "NIP-09")]
    public async Task Deletes_for_the_author_and_for_the_recipient_of_a_wrap_and_for_nobody_else()
    {
        using var key = SecretKey.Generate();
        using var recipient = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [["p", recipient.PublicKey.ToString()]], "a", Now);
        var wrap = NostrEvent.Create(key, 1059, [["p", recipient.PublicKey.ToString()]], "b", Now);
        var own = NostrEvent.Create(key, 5, [["e", new string('1', 64)]], "", Now);
        await Store.WriteAsync([.. new[] { note, wrap, own }.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        string[][] all = [.. new[] { note, wrap, own }.Select(e => new[] { "e", e.Id.ToString() })];

        await WriteAsync(NostrEvent.Create(recipient, 5, all, "", Now));
        Assert.Equal([note.Id.ToString(), own.Id.ToString()], (await FindAsync(new Filter { Authors = [key.PublicKey] })).Order(), SameSet);
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(wrap));
        await WriteAsync(NostrEvent.Create(key, 5, all, "", Now));
        Assert.Empty(await FindAsync(new Filter { Kinds = [1, 1059] }));
        Assert.Equal(StoreVerdict.Duplicate, await WriteAsync(own)); // deleting a deletion has no effect
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(note));
    }

    [Fact]
    [Trait("Spec", "NIP-09")]
    public async Task Refuses_what_was_deleted_before_it_came()
    {
        using var key = SecretKey.Generate();
        using var other = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", Now);
        await WriteAsync(NostrEvent.Create(other, 5, [["e", note.Id.ToString()]], "", Now));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(note)); // not hers to delete
        var late = NostrEvent.Create(key, 1, [], "b", Now);
        await WriteAsync(NostrEvent.Create(key, 5, [["e", late.Id.ToString()]], "", Now));
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(late));
    }

    [Fact]
    [Trait("Spec", "NIP-09")]
    public async Task Deletes_an_address_up_to_the_time_of_the_deletion()
    {
        using var key = SecretKey.Generate();
        using var other = SecretKey.Generate();
        var address = $"30443:{key.PublicKey}:a \"quoted\" d";
        NostrEvent Version(long at) => NostrEvent.Create(key, 30443, [["d", "a \"quoted\" d"]], $"{at}", at);
        await WriteAsync(Version(Now));
        await WriteAsync(NostrEvent.Create(other, 5, [["a", address]], "", Now + 9));
        Assert.Single(await FindAsync(new Filter { Kinds = [30443] }));
        await WriteAsync(NostrEvent.Create(key, 5, [["a", address]], "", Now + 5));
        Assert.Empty(await FindAsync(new Filter { Kinds = [30443] }));
        Assert.Equal(StoreVerdict.Deleted, await WriteAsync(Version(Now + 5)));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(Version(Now + 6)));
    }

    [Fact]
    [Trait("Spec", "NIP-01")]
    public async Task Keeps_the_newest_of_a_slot_and_of_equals_the_lowest_id()
    {
        using var key = SecretKey.Generate();
        var twins = Enumerable.Range(0, 6).Select(i => NostrEvent.Create(key, 10002, [], $"{i}", Now)).ToList();
        await Store.WriteAsync([.. twins.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        var lowest = twins.MinBy(e => e.Id.ToString(), StringComparer.Ordinal)!;
        Assert.Equal([lowest.Id.ToString()], await FindAsync(new Filter { Kinds = [10002] }));
        Assert.All(twins, twin => Assert.NotEqual(StoreVerdict.Stored, WriteAsync(twin).GetAwaiter().GetResult()));
        var newer = NostrEvent.Create(key, 10002, [], "new", Now + 1);
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(newer));
        Assert.Equal(StoreVerdict.Superseded, await WriteAsync(lowest));
        Assert.Equal([newer.Id.ToString()], await FindAsync(new Filter { Authors = [key.PublicKey] }));
    }

    [Fact]
    [Trait("Spec", "NIP-62")]
    public async Task Vanishing_takes_the_wraps_to_the_key_and_keeps_them_out()
    {
        using var sender = SecretKey.Generate();
        using var gone = SecretKey.Generate();
        NostrEvent To(long at, int kind) => NostrEvent.Create(sender, kind, [["p", gone.PublicKey.ToString()]], $"{at}", at);
        await WriteAsync(To(Now, 1059));
        await WriteAsync(To(Now, 1));
        await WriteAsync(To(Now + 9, 1059));
        await WriteAsync(NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now + 5), vanishesHere: true);
        Assert.Equal([1, 1059], (await QueryAsync(new Filter { Authors = [sender.PublicKey] })).Select(k => k.Kind).Order());
        Assert.Equal(StoreVerdict.Vanished, await WriteAsync(To(Now + 1, 1059)));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(To(Now + 1, 1)));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(To(Now + 6, 1059)));
    }

    [Fact]
    public async Task Removes_for_the_operator_without_forbidding_a_return()
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 20).Select(i => NostrEvent.Create(key, 1, [["t", $"{i % 2}"]], $"{i}", Now + i)).ToList();
        await Store.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        var chosen = await QueryAsync(new Filter { Tags = new Dictionary<char, string[]> { ['t'] = ["1"] } });
        Assert.Equal(10, await Store.RemoveAsync(chosen, erase: true, CancellationToken.None));
        Assert.Equal(0, await Store.RemoveAsync(chosen, erase: true, CancellationToken.None));
        Assert.Equal(10, (await FindAsync(new Filter())).Count);
        var sink = new CollectingSink();
        Assert.Equal(10, await Store.ReadAsync(chosen, 0, sink, CancellationToken.None));
        Assert.Empty(sink.Texts);
        Assert.False(Store.IsKnown(events[1].Id));
        Assert.Equal(StoreVerdict.Stored, await WriteAsync(events[1]));
    }

    [Fact]
    public async Task Stops_reading_when_the_sink_has_enough_and_goes_on_from_there()
    {
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 300).Select(i => NostrEvent.Create(key, 1, [], $"{i}", Now + i)).ToList();
        await Store.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        var keys = await QueryAsync(new Filter());
        var sink = new CollectingSink { Most = 7 };
        var next = 0;
        while (next < keys.Count)
        {
            sink.Left = sink.Most;
            next += await Store.ReadAsync(keys, next, sink, CancellationToken.None);
        }

        Assert.Equal(events.AsEnumerable().Reverse().Select(e => Encoding.UTF8.GetString(e.Json.Span)), sink.Texts);
    }

    [Fact]
    public async Task Keeps_events_of_every_size()
    {
        using var key = SecretKey.Generate();
        int[] sizes = [0, 1, 1500, 2000, 2100, 9000, 120_000, 500_000];
        var events = sizes.Select((size, i) => NostrEvent.Create(key, 1, [], new string('x', size), Now + i)).ToList();
        await Store.WriteAsync([.. events.Select(e => new EventWrite(Record(e)))], CancellationToken.None);
        await ReopenAsync();
        var sink = new CollectingSink();
        await Store.ReadAsync(await QueryAsync(new Filter()), 0, sink, CancellationToken.None);
        Assert.Equal(events.AsEnumerable().Reverse().Select(e => Encoding.UTF8.GetString(e.Json.Span)), sink.Texts);
    }

    [Fact]
    public async Task Exports_what_another_store_imports_with_its_deletions()
    {
        using var key = SecretKey.Generate();
        var doomed = NostrEvent.Create(key, 1, [], "doomed", Now - 99);
        await WriteAsync(doomed);
        for (var i = 0; i < 30; i++)
        {
            await WriteAsync(NostrEvent.Create(key, 1, [], $"{i}", Now - i));
        }

        await WriteAsync(NostrEvent.Create(key, 5, [["e", doomed.Id.ToString()]], "", Now));
        using var lines = new MemoryStream();
        Assert.Equal(31, await EventExport.RunAsync(Store, new Filter(), lines, Now));
        var before = await FindAsync(new Filter());
        foreach (var copy in await OpenOthersAsync())
        {
            await using (copy)
            {
                var input = new MemoryStream([.. lines.ToArray(), .. "{\"not\":\"an event\"}\n"u8]);
                Assert.Equal(new EventImport.Result(31, 0, 1), await EventImport.RunAsync(copy, input));
                input = new MemoryStream(lines.ToArray());
                Assert.Equal(new EventImport.Result(0, 31, 0), await EventImport.RunAsync(copy, input));
                var keys = await copy.QueryAsync(new Filter(), ReadScope.Everything(Now), copy.HighWaterMark, 100, CancellationToken.None);
                Assert.Equal(before, keys.Select(k => k.Id.ToString()));
                var again = new EventWrite(Record(doomed));
                await copy.WriteAsync([again], CancellationToken.None);
                Assert.Equal(StoreVerdict.Deleted, again.Verdict);
            }
        }
    }

    private static readonly IEqualityComparer<IEnumerable<string>> SameSet =
        EqualityComparer<IEnumerable<string>>.Create((a, b) => a!.ToHashSet().SetEquals(b!));

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task Refuses_what_no_relay_may_hold_whoever_brings_it()
    {
        using var key = SecretKey.Generate();
        var ahead = DateTimeOffset.UtcNow.ToUnixTimeSeconds() + (7 * 86400);
        NostrEvent[] never = [
            .. KindRules.OnlyEncrypted.Append(EventKinds.RelayAuth).Append(20_001).Select(kind => NostrEvent.Create(key, kind, [], "", Now))
        ];
        NostrEvent large = NostrEvent.Create(key, 1, [], new string('x', new RelayOptions().MaxMessageBytes), Now),
            early = NostrEvent.Create(key, 1, [], "", ahead), good = NostrEvent.Create(key, 1, [], "", Now);
        foreach (var evt in never)
        {
            Assert.Equal(StoreVerdict.NeverStored, await WriteAsync(evt));
        }

        Assert.Equal(StoreVerdict.TooLarge, await WriteAsync(large));
        Assert.Equal(StoreVerdict.TooNew, await WriteAsync(early));
        EventWrite[] batch = [.. never.Append(large).Append(good).Append(early).Select(evt => new EventWrite(Record(evt)))];
        await Store.WriteAsync(batch, CancellationToken.None);
        Assert.Equal(good.Id, Assert.Single(batch, write => write.Verdict == StoreVerdict.Stored).Record.Id);
        Assert.Equal([good.Id.ToString()], await FindAsync(new Filter()));

        // By a file of the operator's, with the reasons.
        var lines = new MemoryStream([.. never.Append(large).Append(early).Append(good).SelectMany(evt => (byte[])[.. evt.Json.Span, (byte)'\n'])]);
        var told = new List<string>();
        var refusals = new Refusals(text =>
        {
            told.Add(text);
            return Task.CompletedTask;
        });
        Assert.Equal(new EventImport.Result(0, 1, never.Length + 2), await EventImport.RunAsync(Store, lines, refusals: refusals));
        Assert.Equal(never.Length, refusals.Counts["this kind is never stored"]);
        Assert.Equal(3, refusals.Counts.Count);
        Assert.Contains("line 1: this kind is never stored", told);
    }

    [Fact]
    public async Task What_was_stored_before_and_no_relay_may_hold_is_gone_after_the_next_start()
    {
        using var key = SecretKey.Generate();
        NostrEvent leak = NostrEvent.Create(key, 449, [], "MARK-leak", Now), good = NostrEvent.Create(key, 1, [], "good", Now);
        await StoreAsEarlierVersionsDidAsync(leak, good);
        await ReopenAsync();
        Assert.Equal([good.Id.ToString()], await FindAsync(new Filter()));
    }

    /// <summary>Puts events past the rules of this version.</summary>
    private protected abstract Task StoreAsEarlierVersionsDidAsync(params NostrEvent[] events);
}
