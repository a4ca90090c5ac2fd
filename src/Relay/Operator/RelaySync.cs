using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Negentropy;
using Marmot.Protocol.RelayClient;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Which way events go.</summary>
internal enum SyncDirection
{
    Both,
    Pull,
    Push,
}

/// <summary>Brings a store and another relay to the same events of one filter: what each lacks is found by negentropy (NIP-77), then fetched or
/// published.</summary>
/// <remarks>
/// What is fetched is verified like any import; the clock window of live group events does not apply. The other relay decides what it takes and shows: one like
/// this takes group events outside its clock window from one of its operators (<see cref="RelayOptions.Admins"/>), so the key that answers AUTH should be one.
/// </remarks>
internal sealed class RelaySync(
    IEventStore store, Uri url, SecretKey? authKey, TimeProvider clock, Action<string>? progress = null, ImportRules? rules = null, Refusals? refusals = null)
{
    private readonly ImportRules _rules = rules ?? ImportRules.Default;
    private readonly Refusals _refusals = refusals ?? new Refusals();
    private const int BatchSize = 100;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(20);

    /// <param name="Pulled">Events stored here that were only there.</param>
    /// <param name="Pushed">Events taken there that were only here.</param>
    /// <param name="Refused">Events that either side did not take, or the other did not hand out.</param>
    /// <param name="Failure">Why it could not be finished; null when it was.</param>
    public readonly record struct Result(long Pulled, long Pushed, long Refused, string? Failure);

    public async Task<Result> RunAsync(Filter filter, SyncDirection direction, CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var observer = new Ready();
        var connection = new RelayConnection(new RelayConnectionOptions { Url = url, AuthKey = authKey }, observer, clock);
        var running = connection.RunAsync(stop.Token);
        try
        {
            await observer.Connected.Task.WaitAsync(ConnectTimeout, clock, cancel);
            if (authKey is not null && await connection.AuthenticateAsync(cancel) == false)
            {
                return new Result(0, 0, 0, "the relay does not take the authentication");
            }

            return await RunAsync(connection, filter, direction, cancel);
        }
        catch (TimeoutException)
        {
            return new Result(0, 0, 0, "the relay does not answer");
        }
        finally
        {
            await stop.CancelAsync();
            await running;
        }
    }

    private async Task<Result> RunAsync(RelayConnection connection, Filter filter, SyncDirection direction, CancellationToken cancel)
    {
        // 1. What differs; a relay that finds the filter too wide is asked by halves of its time.
        HashSet<Bytes32> have = [], need = [];
        var windows = new Stack<(long Since, long Until)>();
        windows.Push((filter.Since ?? 0, filter.Until ?? clock.GetUtcNow().ToUnixTimeSeconds() + 86400));
        while (windows.TryPop(out var window))
        {
            var part = Within(filter, window);
            var found = await connection.ReconcileAsync(part, await ReadSetAsync(part, cancel), cancel);
            if (!found.Completed && found.Prefix == RejectPrefix.Blocked && window.Since < window.Until)
            {
                var middle = window.Since + ((window.Until - window.Since) / 2);
                windows.Push((window.Since, middle));
                windows.Push((middle + 1, window.Until));
                continue;
            }

            if (!found.Completed)
            {
                return new Result(0, 0, 0, $"the relay ended the reconciliation: {found.Prefix.Label()}");
            }

            have.UnionWith(found.Have);
            need.UnionWith(found.Need);
        }

        // 2. There and back.
        long pulled = 0, pushed = 0;
        if (direction != SyncDirection.Push)
        {
            foreach (var ids in need.Chunk(BatchSize))
            {
                pulled += await PullAsync(connection, ids, cancel);
                progress?.Invoke($"{pulled} of {need.Count} fetched");
            }
        }

        if (direction != SyncDirection.Pull)
        {
            foreach (var ids in have.Chunk(BatchSize))
            {
                pushed += await PushAsync(connection, ids, cancel);
                progress?.Invoke($"{pushed} of {have.Count} published");
            }
        }

        var wanted = (direction == SyncDirection.Push ? 0 : need.Count) + (direction == SyncDirection.Pull ? 0 : have.Count);
        return new Result(pulled, pushed, wanted - pulled - pushed, null);
    }

    private async Task<NegentropySet> ReadSetAsync(Filter filter, CancellationToken cancel)
    {
        var keys = await store.QueryAsync(filter, Everything, ulong.MaxValue, int.MaxValue, cancel);
        return new NegentropySet(keys.Select(key => new NegentropyItem(key.CreatedAt, key.Id)));
    }

    private async Task<long> PullAsync(RelayConnection connection, Bytes32[] ids, CancellationToken cancel)
    {
        var wanted = ids.ToHashSet();
        var batch = new List<EventWrite>(ids.Length);
        foreach (var evt in await connection.QueryAsync(new Filter { Ids = ids, Limit = ids.Length }, cancel))
        {
            if (!wanted.Remove(evt.Id))
            {
                continue;
            }

            if (_rules.TryRead(evt.Json.Span, out var reason) is { } record)
            {
                batch.Add(new EventWrite(record));
            }
            else
            {
                await _refusals.AddAsync(evt.Id.ToString(), reason);
            }
        }

        foreach (var id in wanted)
        {
            await _refusals.AddAsync(id.ToString(), "the other relay does not hand it out");
        }

        await store.WriteAsync(batch, cancel);
        foreach (var write in batch)
        {
            if (write.Verdict != StoreVerdict.Stored)
            {
                var reason = ImportRules.Describe(write.Verdict);
                await _refusals.AddAsync(write.Record.Id.ToString(), reason.Length > 0 ? reason : "known here meanwhile");
            }
        }

        return batch.Count(write => write.Verdict == StoreVerdict.Stored);
    }

    private async Task<long> PushAsync(RelayConnection connection, Bytes32[] ids, CancellationToken cancel)
    {
        var keys = await store.QueryAsync(new Filter { Ids = ids }, Everything, ulong.MaxValue, ids.Length, cancel);
        var sink = new Collecting();
        await store.ReadAsync(keys, 0, sink, cancel);
        var answers = await Task.WhenAll(sink.Events.Select(evt => connection.PublishAsync(evt, cancel)));
        foreach (var (evt, answer) in sink.Events.Zip(answers))
        {
            if (!answer.Accepted)
            {
                await _refusals.AddAsync(evt.Id.ToString(), $"the other relay refused it: {answer.Prefix.Label()}");
            }
        }

        return answers.Count(answer => answer.Accepted);
    }

    private ReadScope Everything => ReadScope.Everything(clock.GetUtcNow().ToUnixTimeSeconds());

    private static Filter Within(Filter filter, (long Since, long Until) window) => new()
    {
        Ids = filter.Ids,
        Authors = filter.Authors,
        Kinds = filter.Kinds,
        Tags = filter.Tags,
        Since = window.Since,
        Until = window.Until,
    };

    private sealed class Collecting : IStoredEventSink
    {
        public List<NostrEvent> Events { get; } = [];

        public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
        {
            if (NostrEvent.TryParse(json, out var evt, out _))
            {
                Events.Add(evt);
            }

            return true;
        }
    }

    private sealed class Ready : IRelayConnectionObserver
    {
        public TaskCompletionSource Connected { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void OnEvent(in NostrEventView evt, bool live)
        {
        }

        public void OnState(RelayState state)
        {
        }

        public void OnClosed(RejectPrefix prefix, TimeSpan pause)
        {
        }

        public void OnAuth(bool accepted)
        {
        }

        public void OnEoseMissing()
        {
        }

        public void OnReady() => Connected.TrySetResult();
    }
}
