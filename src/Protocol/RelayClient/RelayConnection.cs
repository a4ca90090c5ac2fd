using System.Net.WebSockets;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Protocol.RelayClient;

/// <summary>A standing connection to one relay that keeps one subscription alive whatever the relay does (NIP-01, NIP-42).</summary>
/// <remarks>
/// <see cref="RunAsync"/> connects, subscribes, repeats a REQ that was closed, and reconnects for ever with growing, jittered pauses; one connection while it
/// lasts is a <see cref="RelaySession"/>, which answers challenges. Relays challenge when a client connects, with a refusal, or when a request needs it, which
/// then waits: after an authentication the REQ is always sent again, since the relay may have answered the first one as to a stranger; the old subscription
/// stays until the new one is live, so nothing falls between. <see cref="PublishAsync"/> and <see cref="QueryAsync"/> may be called from any thread.
/// </remarks>
public sealed partial class RelayConnection
{
    private readonly RelayConnectionOptions _options;
    private readonly IRelayConnectionObserver _observer;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Standing> _subscriptions = [];
    private volatile RelaySession? _session;
    private long _requests;
    private int _closures;
    private int _repeat;

    /// <summary>Prepares a connection; nothing happens before <see cref="RunAsync"/>.</summary>
    public RelayConnection(RelayConnectionOptions options, IRelayConnectionObserver observer, TimeProvider time)
    {
        _options = options;
        _observer = observer;
        _time = time;
    }

    /// <summary>Where it connects.</summary>
    public Uri Url => _options.Url;

    /// <summary>The standing subscription's state.</summary>
    public RelayState State { get; private set; }

    /// <summary>True when the relay has accepted our key on this socket.</summary>
    public bool IsAuthenticated => _session is { IsAuthenticated: true };

    /// <summary>Connections opened since the start.</summary>
    public int Connected { get; private set; }

    /// <summary>Keeps the connection up until cancelled; never throws for what the network or the relay does.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var failures = 0;
        while (!cancellationToken.IsCancellationRequested)
        {
            var started = _time.GetTimestamp();
            try
            {
                await ConnectAndReadAsync(cancellationToken);
            }
            catch (Exception e) when (e is HttpRequestException || RelaySession.IsEnd(e))
            {
                // Any end of the connection is the same: start again.
            }

            Disconnect();
            failures = _time.GetElapsedTime(started) >= _options.StableAfter ? 0 : failures + 1;
            try
            {
                await Task.Delay(Backoff(failures), _time, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Ends the present socket, if there is one; <see cref="RunAsync"/> connects and subscribes anew after its pause. For a relay that is connected
    /// and yet does not deliver.</summary>
    public void Restart() => _session?.Abort();

    /// <summary>Publishes an event and waits for the OK; <c>disconnected</c> when there is no socket.</summary>
    public Task<PublishResult> PublishAsync(NostrEvent evt, CancellationToken cancellationToken) =>
        _session is { } session ? session.PublishAsync(evt, cancellationToken) : Task.FromResult(PublishResult.Disconnected);

    private async Task ConnectAndReadAsync(CancellationToken cancellationToken)
    {
        using var session = await RelaySession.ConnectAsync(_options, _time, TakeVerdictAsync, cancellationToken);
        _session = session;
        Connected++;
        _closures = 0;
        Enter(RelayState.Pending);
        await SubscribeAsync(session);
        _observer.OnReady();
        await session.RunAsync(cancellationToken);
    }

    private async ValueTask TakeVerdictAsync(RelaySession session, bool accepted)
    {
        _observer.OnAuth(accepted);
        if (accepted)
        {
            await SubscribeAsync(session);
            _observer.OnReady();
        }
        else if (State != RelayState.Live)
        {
            Enter(RelayState.AuthRefused);
        }
    }

    private async ValueTask TakeEoseAsync(Standing standing, bool missing)
    {
        Standing[] old;
        lock (_gate)
        {
            if (standing.IsLive || !_subscriptions.ContainsKey(standing.Id))
            {
                return;
            }

            // Only those made before it: a later one was made because this one may be a stranger's.
            standing.IsLive = true;
            old = [.. _subscriptions.Values.Where(other => other.Number < standing.Number)];
            foreach (var other in old)
            {
                _subscriptions.Remove(other.Id);
                standing.Session.Remove(other.Id);
            }
        }

        if (missing)
        {
            _observer.OnEoseMissing();
        }

        _closures = 0;
        Enter(RelayState.Live);
        foreach (var other in old)
        {
            await standing.Session.SendAsync(ClientMessageWriter.Close(other.Id), CancellationToken.None);
        }
    }

    private ValueTask TakeClosedAsync(Standing standing, RejectPrefix prefix)
    {
        bool ours, others;
        lock (_gate)
        {
            ours = _subscriptions.Remove(standing.Id);
            others = _subscriptions.Count > 0;
        }

        if (!ours)
        {
            return ValueTask.CompletedTask;
        }

        // 1. Authentication: the OK brings the next REQ. If the challenge is still to come, or stays away, the slow repeat below stands in.
        var authWanted = prefix == RejectPrefix.AuthRequired && _options.AuthKey is not null && !standing.Session.IsAuthenticated;

        // 2. A plain no is not argued with; anything else is temporary.
        var refused = prefix is RejectPrefix.Restricted or RejectPrefix.Blocked or RejectPrefix.Invalid or RejectPrefix.Unsupported
            || (prefix == RejectPrefix.AuthRequired && !authWanted);
        var pause = refused ? Jittered(_options.RefusedPause) : Backoff(++_closures);
        if (!others)
        {
            Enter(refused ? RelayState.Refused : authWanted ? RelayState.Authenticating : RelayState.Closed);
        }

        _observer.OnClosed(prefix, pause);
        _ = RepeatAsync(pause, Interlocked.Increment(ref _repeat), standing.Session);
        return ValueTask.CompletedTask;
    }

    private async Task SubscribeAsync(RelaySession session)
    {
        if (_options.Subscription is null)
        {
            return;
        }

        Interlocked.Increment(ref _repeat); // a repeat that still waits is void now
        var standing = new Standing(this, session, RelaySession.NewId(), Interlocked.Increment(ref _requests));
        lock (_gate)
        {
            _subscriptions[standing.Id] = standing;
        }

        session.Add(standing.Id, standing);
        await session.SendAsync(ClientMessageWriter.Req(standing.Id, _options.Subscription()), CancellationToken.None);
        _ = WaitForEoseAsync(standing);
    }

    private async Task WaitForEoseAsync(Standing standing)
    {
        try
        {
            await Task.Delay(_options.EoseTimeout, _time, standing.Session.Ended);
            await TakeEoseAsync(standing, missing: true);
        }
        catch (Exception e) when (RelaySession.IsEnd(e))
        {
            // The connection ended first.
        }
    }

    private async Task RepeatAsync(TimeSpan pause, int turn, RelaySession session)
    {
        try
        {
            await Task.Delay(pause, _time, session.Ended);
            if (Volatile.Read(ref _repeat) == turn)
            {
                await SubscribeAsync(session);
            }
        }
        catch (Exception e) when (RelaySession.IsEnd(e))
        {
            // The connection ended first.
        }
    }

    private void Disconnect()
    {
        _session = null;
        lock (_gate)
        {
            _subscriptions.Clear();
        }

        Enter(RelayState.Disconnected);
    }

    private void Enter(RelayState state)
    {
        if (State != state)
        {
            State = state;
            _observer.OnState(state);
        }
    }

    // Exponential with full jitter, but never less than a tenth: many clients of a relay that comes back must not come at once, nor one client spin.
    private TimeSpan Backoff(int failures)
    {
        var grown = _options.BackoffBase.TotalSeconds * Math.Pow(_options.BackoffGrowth, Math.Max(0, failures - 1));
        var longest = grown < _options.BackoffMax.TotalSeconds ? TimeSpan.FromSeconds(grown) : _options.BackoffMax;
        return longest * (0.1 + (0.9 * Random.Shared.NextDouble()));
    }

    private static TimeSpan Jittered(TimeSpan pause) => pause * (0.75 + (0.5 * Random.Shared.NextDouble()));

    /// <summary>One REQ of the standing subscription, its place among them, and whether its EOSE came.</summary>
    private sealed class Standing(RelayConnection owner, RelaySession session, string id, long number) : RelayListener
    {
        private volatile bool _isLive;

        public RelaySession Session => session;

        public string Id => id;

        public long Number => number;

        public bool IsLive
        {
            get => _isLive;
            set => _isLive = value;
        }

        protected internal override void OnEvent(in NostrEventView evt) => owner._observer.OnEvent(evt, IsLive);

        protected internal override ValueTask OnEoseAsync(EoseHint hint) => owner.TakeEoseAsync(this, missing: false);

        protected internal override ValueTask OnClosedAsync(RejectPrefix prefix, string text) => owner.TakeClosedAsync(this, prefix);
    }
}
