using System.Net.WebSockets;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Protocol.RelayClient;

/// <summary>A standing connection to one relay that keeps one subscription alive whatever the relay does (NIP-01, NIP-42).</summary>
/// <remarks>
/// <see cref="RunAsync"/> owns the socket and all state: it connects, subscribes, answers challenges, repeats a REQ that was closed, and reconnects for ever with
/// growing, jittered pauses. Relays challenge when a client connects, with a refusal, or when a request needs it, which then waits: after an authentication
/// the REQ is always sent again, since the relay may have answered the first one as to a stranger; the old
/// subscription stays until the new one is live, so nothing falls between. <see cref="PublishAsync"/> and <see cref="QueryAsync"/> may be called from any thread.
/// </remarks>
public sealed partial class RelayConnection
{
    private const int AuthKind = 22242; // NIP-42

    private readonly RelayConnectionOptions _options;
    private readonly IRelayConnectionObserver _observer;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Standing> _subscriptions = [];
    private readonly Dictionary<string, Query> _queries = [];
    private readonly Dictionary<Bytes32, TaskCompletionSource<PublishResult>> _publishing = [];
    private RelaySocket? _socket;
    private CancellationToken _connection;
    private Bytes32? _authId;
    private TaskCompletionSource<bool> _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously); // on the challenge that is answered next
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
    public bool IsAuthenticated { get; private set; }

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
            catch (Exception e) when (e is WebSocketException or HttpRequestException or IOException or OperationCanceledException or ObjectDisposedException
                or InvalidOperationException)
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

    /// <summary>Ends the present socket, if there is one; <see cref="RunAsync"/> connects and subscribes anew after its pause. For a relay that is connected and yet does not deliver.</summary>
    public void Restart()
    {
        lock (_gate)
        {
            _socket?.Abort();
        }
    }

    /// <summary>Publishes an event and waits for the OK; <c>disconnected</c> when there is no socket.</summary>
    public async Task<PublishResult> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
    {
        TaskCompletionSource<PublishResult> answer;
        RelaySocket? socket;
        lock (_gate)
        {
            socket = _socket;
            if (socket is null)
            {
                return new PublishResult(false, "disconnected");
            }

            answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _publishing[evt.Id] = answer;
        }

        try
        {
            await socket.SendAsync(ClientMessageWriter.Event(evt.Json.Span), cancellationToken);
            return await answer.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return new PublishResult(false, "timeout");
        }
        catch (Exception e) when (e is WebSocketException or ObjectDisposedException or InvalidOperationException)
        {
            return new PublishResult(false, "disconnected");
        }
        finally
        {
            lock (_gate)
            {
                _publishing.Remove(evt.Id);
            }
        }
    }

    /// <summary>Asks once for stored events; what came until EOSE, CLOSED or the time limit. Ids and signatures are not checked.</summary>
    public async Task<IReadOnlyList<NostrEvent>> QueryAsync(Filter filter, CancellationToken cancellationToken)
    {
        var query = await AskAsync(filter, cancellationToken);
        lock (query)
        {
            return [.. query.Events];
        }
    }

    /// <summary>Gets the relay's verdict on our key (NIP-42), whether it challenges by itself or only when a request needs it: it is asked for our gift wraps.</summary>
    /// <returns>Null when the relay asks nobody who he is, so that there is no verdict; false also without a key or a connection.</returns>
    public async Task<bool?> AuthenticateAsync(CancellationToken cancellationToken)
    {
        if (IsAuthenticated || _options.AuthKey is null)
        {
            return IsAuthenticated;
        }

        Task<bool> verdict;
        lock (_gate)
        {
            verdict = _verdict.Task;
        }

        var wraps = new Filter
        {
            Kinds = [GiftWraps.GiftWrap.Kind],
            Tags = new Dictionary<char, string[]> { ['p'] = [_options.AuthKey.PublicKey.ToString()] },
            Limit = 1,
        };
        var query = await AskAsync(wraps, cancellationToken);
        lock (_gate)
        {
            if (query.ClosedBy is null && _authId is null && !verdict.IsCompleted)
            {
                return null;
            }
        }

        try
        {
            return await verdict.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private async Task<Query> AskAsync(Filter filter, CancellationToken cancellationToken)
    {
        var id = NewId();
        var query = new Query();
        RelaySocket? socket;
        lock (_gate)
        {
            socket = _socket;
            if (socket is null)
            {
                return query;
            }

            _queries[id] = query;
        }

        try
        {
            await socket.SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
            await query.Done.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
            await socket.SendAsync(ClientMessageWriter.Close(id), cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or WebSocketException or ObjectDisposedException or InvalidOperationException)
        {
            // What came so far is the answer.
        }
        finally
        {
            lock (_gate)
            {
                _queries.Remove(id);
            }
        }

        return query;
    }

    private async Task ConnectAndReadAsync(CancellationToken cancellationToken)
    {
        using var socket = await RelaySocket.ConnectAsync(_options, _time, cancellationToken);
        using var connection = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        lock (_gate)
        {
            _socket = socket;
            _connection = connection.Token;
        }

        Connected++;
        _closures = 0;
        Enter(RelayState.Pending);
        await SubscribeAsync();
        _observer.OnReady();
        try
        {
            while (await socket.ReceiveAsync(cancellationToken) is { } frame)
            {
                await HandleAsync(frame);
            }
        }
        finally
        {
            await connection.CancelAsync();
        }
    }

    private ValueTask HandleAsync(ReadOnlyMemory<byte> frame)
    {
        if (!RelayMessageReader.TryRead(frame.Span, out var message, out _))
        {
            return ValueTask.CompletedTask; // a relay is a stranger: what it says wrongly is as unsaid
        }

        switch (message.Kind)
        {
            case RelayMessageKind.Event:
                TakeEvent(message);
                return ValueTask.CompletedTask;
            case RelayMessageKind.Eose:
                return TakeEoseAsync(message.SubscriptionId!, missing: false);
            case RelayMessageKind.Closed:
                return TakeClosedAsync(message.SubscriptionId!, Known(message.Prefix));
            case RelayMessageKind.Ok:
                return TakeOkAsync(message.EventId, message.Accepted, Known(message.Prefix));
            case RelayMessageKind.Auth:
                return AuthenticateAsync(message.Text);
            case RelayMessageKind.NegMsg or RelayMessageKind.NegErr:
                TakeReconciliation(message);
                return ValueTask.CompletedTask;
            default:
                return ValueTask.CompletedTask;
        }
    }

    private void TakeEvent(in RelayMessage message)
    {
        var id = message.SubscriptionId!;
        bool live;
        Query? query;
        lock (_gate)
        {
            if (_queries.TryGetValue(id, out query))
            {
                lock (query)
                {
                    if (query.Events.Count < Query.MaxEvents)
                    {
                        query.Events.Add(NostrEvent.FromView(message.Event));
                    }
                }

                return;
            }

            if (!_subscriptions.TryGetValue(id, out var standing))
            {
                return; // a subscription we never made, or an old one
            }

            live = standing.IsLive;
        }

        _observer.OnEvent(message.Event, live);
    }

    private async ValueTask TakeEoseAsync(string id, bool missing)
    {
        string[] old;
        lock (_gate)
        {
            if (_queries.TryGetValue(id, out var query))
            {
                query.Done.TrySetResult();
                return;
            }

            if (!_subscriptions.TryGetValue(id, out var standing) || standing.IsLive)
            {
                return;
            }

            // Only those made before it: a later one was made because this one may be a stranger's.
            _subscriptions[id] = standing with { IsLive = true };
            old = [.. _subscriptions.Where(other => other.Value.Number < standing.Number).Select(other => other.Key)];
            foreach (var other in old)
            {
                _subscriptions.Remove(other);
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
            await SendAsync(ClientMessageWriter.Close(other));
        }
    }

    private ValueTask TakeClosedAsync(string id, string prefix)
    {
        bool ours, others;
        lock (_gate)
        {
            if (_queries.TryGetValue(id, out var query))
            {
                query.ClosedBy = prefix;
                query.Done.TrySetResult();
                return ValueTask.CompletedTask;
            }

            ours = _subscriptions.Remove(id);
            others = _subscriptions.Count > 0;
        }

        if (!ours)
        {
            return ValueTask.CompletedTask;
        }

        // 1. Authentication: the OK brings the next REQ. If the challenge is still to come, or stays away, the slow repeat below stands in.
        var authWanted = prefix == RejectPrefix.AuthRequired && _options.AuthKey is not null && !IsAuthenticated;

        // 2. A plain no is not argued with; anything else is temporary.
        var refused = prefix is RejectPrefix.Restricted or RejectPrefix.Blocked or RejectPrefix.Invalid or "unsupported"
            || (prefix == RejectPrefix.AuthRequired && !authWanted);
        var pause = refused ? Jittered(_options.RefusedPause) : Backoff(++_closures);
        if (!others)
        {
            Enter(refused ? RelayState.Refused : authWanted ? RelayState.Authenticating : RelayState.Closed);
        }

        _observer.OnClosed(prefix, pause);
        _ = RepeatAsync(pause, Interlocked.Increment(ref _repeat), _connection);
        return ValueTask.CompletedTask;
    }

    private async ValueTask TakeOkAsync(Bytes32 id, bool accepted, string prefix)
    {
        if (_authId is { } auth && auth == id)
        {
            IsAuthenticated = accepted;
            lock (_gate)
            {
                _authId = null;
                _verdict.TrySetResult(accepted);
            }

            _observer.OnAuth(accepted);
            if (accepted)
            {
                await SubscribeAsync();
                _observer.OnReady();
            }
            else if (State != RelayState.Live)
            {
                Enter(RelayState.AuthRefused);
            }

            return;
        }

        TaskCompletionSource<PublishResult>? answer;
        lock (_gate)
        {
            _publishing.TryGetValue(id, out answer);
        }

        answer?.TrySetResult(new PublishResult(accepted, prefix));
    }

    private async ValueTask AuthenticateAsync(string challenge)
    {
        if (_options.AuthKey is null || challenge.Length == 0)
        {
            return;
        }

        var answer = NostrEvent.Create(
            _options.AuthKey,
            AuthKind,
            [["relay", _options.AuthUrl ?? _options.Url.AbsoluteUri], ["challenge", challenge]],
            string.Empty,
            _time.GetUtcNow().ToUnixTimeSeconds());
        lock (_gate)
        {
            _authId = answer.Id;
            RenewVerdict();
        }

        await SendAsync(ClientMessageWriter.Auth(answer.Json.Span));
    }

    private async Task SubscribeAsync()
    {
        if (_options.Subscription is null)
        {
            return;
        }

        Interlocked.Increment(ref _repeat); // a repeat that still waits is void now
        var id = NewId();
        lock (_gate)
        {
            _subscriptions[id] = new Standing(++_requests, IsLive: false);
        }

        await SendAsync(ClientMessageWriter.Req(id, _options.Subscription()));
        _ = WaitForEoseAsync(id, _connection);
    }

    private async Task WaitForEoseAsync(string id, CancellationToken connection)
    {
        try
        {
            await Task.Delay(_options.EoseTimeout, _time, connection);
            await TakeEoseAsync(id, missing: true);
        }
        catch (Exception e) when (e is OperationCanceledException or WebSocketException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection ended first.
        }
    }

    private async Task RepeatAsync(TimeSpan pause, int turn, CancellationToken connection)
    {
        try
        {
            await Task.Delay(pause, _time, connection);
            if (Volatile.Read(ref _repeat) == turn)
            {
                await SubscribeAsync();
            }
        }
        catch (Exception e) when (e is OperationCanceledException or WebSocketException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection ended first.
        }
    }

    private Task SendAsync(ReadOnlyMemory<byte> message)
    {
        RelaySocket? socket;
        lock (_gate)
        {
            socket = _socket;
        }

        return socket is null ? Task.CompletedTask : socket.SendAsync(message, _connection);
    }

    private void Disconnect()
    {
        List<TaskCompletionSource<PublishResult>> publishing;
        List<Query> queries;
        lock (_gate)
        {
            _socket = null;
            _subscriptions.Clear();
            foreach (var answers in _reconciling.Values)
            {
                answers.Writer.TryComplete();
            }

            publishing = [.. _publishing.Values];
            queries = [.. _queries.Values];
            _authId = null;
            _verdict.TrySetResult(false);
            RenewVerdict();
        }

        IsAuthenticated = false;
        publishing.ForEach(answer => answer.TrySetResult(new PublishResult(false, "disconnected")));
        queries.ForEach(query => query.Done.TrySetResult());
        Enter(RelayState.Disconnected);
    }

    private void RenewVerdict()
    {
        if (_verdict.Task.IsCompleted)
        {
            _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
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

    // 16 random bytes: nobody can send events for a subscription of a former connection. NIP-01 allows 64 characters.
    private static string NewId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    // The closed set of prefixes: a relay's own words must not become a metric's label or a log line.
    private static string Known(ReadOnlySpan<char> prefix) => prefix switch
    {
        RejectPrefix.AuthRequired => RejectPrefix.AuthRequired,
        RejectPrefix.Restricted => RejectPrefix.Restricted,
        RejectPrefix.Blocked => RejectPrefix.Blocked,
        RejectPrefix.Invalid => RejectPrefix.Invalid,
        RejectPrefix.RateLimited => RejectPrefix.RateLimited,
        RejectPrefix.Duplicate => RejectPrefix.Duplicate,
        RejectPrefix.ProofOfWork => RejectPrefix.ProofOfWork,
        RejectPrefix.Mute => RejectPrefix.Mute,
        RejectPrefix.Error => RejectPrefix.Error,
        "unsupported" => "unsupported",
        _ => "none",
    };

    // One REQ of the standing subscription: its place among them, and whether its EOSE came.
    private readonly record struct Standing(long Number, bool IsLive);

    private sealed class Query
    {
        public const int MaxEvents = 100;

        public List<NostrEvent> Events { get; } = [];

        /// <summary>The prefix of the CLOSED that ended it; null when something else did.</summary>
        public string? ClosedBy { get; set; }

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
