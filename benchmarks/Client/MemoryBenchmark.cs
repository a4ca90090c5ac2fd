using System.Diagnostics;
using System.Globalization;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.TestKit;

namespace Marmot.Benchmarks.Client;

/// <summary>What a client keeps in memory while it reads for months: the managed heap with it and without it, after each tenth of the messages, over a relay
/// that is a list.</summary>
internal static class MemoryBenchmark
{
    private const string Relay = "ws://relay.test/";
    private const int PartMessages = 1000;

    public static async Task<int> RunAsync(int messages)
    {
        using var folder = new TemporaryFolder();
        var clock = new Clock();
        var relay = new ListRelay();
        var settings = new AccountSettings { Relays = [Relay] };
        using var aliceStore = ClientStore.InMemory();
        using var secret = StoreSecret.FromKeyFile(folder.File("store.key"));
        var bobStore = ClientStore.Open(folder.File("bob"), secret);
        await using var alice = MarmotClient.Create(aliceStore, null, settings, _ => relay, clock);
        var bob = MarmotClient.Create(bobStore, null, settings, _ => relay, clock);
        await bob.PublishRelayListsAsync();
        await bob.PublishKeyPackageAsync();
        string group = (await alice.CreateGroupAsync("long", "")).GroupId;
        await alice.InviteAsync(group, [bob.PublicKey]);
        await bob.AcceptInvitesAsync();

        long reading = 0;
        var opening = TimeSpan.Zero;
        for (int sent = 0; sent < messages;)
        {
            for (int i = 0; i < PartMessages; i++, sent++)
            {
                await alice.SendAsync(group, $"forty characters of chat, more or less {sent}");
                clock.Advance(TimeSpan.FromSeconds(20));
            }

            await alice.SyncAsync(group); // her outbox is proven to be there
            long start = Stopwatch.GetTimestamp();
            await bob.SyncAsync(group);
            reading += Stopwatch.GetTimestamp() - start;
            if (sent % (messages / 10) < PartMessages)
            {
                relay.Forget();
                long with = GC.GetTotalMemory(forceFullCollection: true);
                long values = bobStore.LiveBytes;
                (bob, bobStore) = await CloseAsync(bob, bobStore);
                long without = GC.GetTotalMemory(forceFullCollection: true);
                ClientBenchmark.Line($"memory of a reader after {sent} messages", (with - without) / 1024.0, "KiB",
                    string.Create(CultureInfo.InvariantCulture, $"{values / 1024} KiB of it are values of its store"));
                start = Stopwatch.GetTimestamp();
                bobStore = ClientStore.Open(folder.File("bob"), secret);
                bob = MarmotClient.Open(bobStore, _ => relay, clock);
                opening = Stopwatch.GetElapsedTime(start);
            }
        }

        int read = bob.CountMessages(group);
        await bob.DisposeAsync();
        bobStore.Dispose();
        ClientBenchmark.Line("open it again", opening.TotalMilliseconds, "ms", "");
        ClientBenchmark.Line("read, beside the relay", read / Stopwatch.GetElapsedTime(0, reading).TotalSeconds, "/s", "");
        if (read != messages)
        {
            Console.Error.WriteLine($"bob read {read} of {messages} messages");
            return 1;
        }

        return 0;
    }

    // Nothing refers to them any more.
    private static async Task<(MarmotClient, ClientStore)> CloseAsync(MarmotClient client, ClientStore store)
    {
        await client.DisposeAsync();
        store.Dispose();
        return (null!, null!);
    }

    /// <summary>A clock that moves when told.</summary>
    private sealed class Clock : TimeProvider
    {
        private DateTimeOffset _now = DateTimeOffset.FromUnixTimeSeconds(1_790_000_000);

        public void Advance(TimeSpan by) => _now += by;

        public override DateTimeOffset GetUtcNow() => _now;
    }

    /// <summary>A relay that is a list of events.</summary>
    private sealed class ListRelay : IRelayNetwork
    {
        private readonly List<NostrEvent> _events = [];

        public void Forget() => _events.RemoveAll(evt => evt.Kind == 445);

        public Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken)
        {
            _events.Add(evt);
            return Task.FromResult(new RelayReply(relay, RelayAnswer.Accepted, ""));
        }

        public Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken) =>
            Task.FromResult(
                new RelayFetch(relay,
                    [.. _events.Where(evt => NostrEventReader.TryRead(evt.Json.Span, out var view, out _) && filter.Matches(view) && evt.TryVerify(out _))],
                    true));

        public Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
