using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;

namespace Marmot.Protocol.RelayClient;

/// <summary>Hears what a relay says to one subscription. All calls come from the session's reader, must return soon and must not throw.</summary>
public abstract class RelayListener
{
    /// <summary>An event; its shape is checked, id and signature are not. The view is valid during the call only.</summary>
    protected internal virtual void OnEvent(in NostrEventView evt)
    {
    }

    /// <summary>The stored events were sent.</summary>
    /// <param name="hint">Whether those were all (NIP-67).</param>
    protected internal virtual ValueTask OnEoseAsync(EoseHint hint) => ValueTask.CompletedTask;

    /// <summary>The relay ended the subscription; the session has forgotten it.</summary>
    /// <param name="prefix">A prefix of NIP-01, or none.</param>
    /// <param name="text">The relay's own words: not for metrics and logs.</param>
    protected internal virtual ValueTask OnClosedAsync(RejectPrefix prefix, string text) => ValueTask.CompletedTask;

    /// <summary>NEG-MSG or NEG-ERR (NIP-77).</summary>
    protected internal virtual void OnReconciliation(in RelayMessage message)
    {
    }

    /// <summary>The connection ended.</summary>
    protected internal virtual void OnEnd()
    {
    }
}

/// <summary>One connection to a relay while it lasts: requests and their answers, published events and their OKs, challenges and their answers (NIP-01,
/// NIP-42).</summary>
/// <remarks>
/// What both kinds of clients stand on: <see cref="RelayConnection"/>, which listens for ever, and one that asks many short questions. <see cref="RunAsync"/>
/// reads; everything else may be called from any thread. A challenge is answered whenever it comes: on connect, with a refusal, or when a request needs it.
/// </remarks>
public sealed class RelaySession : IDisposable
{
    private const int AuthKind = EventKinds.RelayAuth;

    private readonly RelaySocket _socket;
    private readonly RelayConnectionOptions _options;
    private readonly TimeProvider _time;
    private readonly Func<RelaySession, bool, ValueTask>? _onVerdict;
    private readonly CancellationTokenSource _closing = new();
    private readonly ConcurrentDictionary<string, RelayListener> _listeners = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Bytes32, TaskCompletionSource<PublishResult>> _publishing = new();
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _challenged = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource<bool> _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously); // on the challenge that is answered next
    private Bytes32? _authId;
    private int _disposed;

    private RelaySession(RelaySocket socket, RelayConnectionOptions options, TimeProvider time, Func<RelaySession, bool, ValueTask>? onVerdict)
    {
        _socket = socket;
        _options = options;
        _time = time;
        _onVerdict = onVerdict;
        Ended = _closing.Token;
    }

    /// <summary>Cancelled when the connection ends.</summary>
    public CancellationToken Ended { get; }

    /// <summary>True once the connection has ended.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>True when the relay has accepted our key on this connection.</summary>
    public bool IsAuthenticated { get; private set; }

    /// <summary>True once a challenge has come that we can answer, or the connection has ended.</summary>
    public bool IsChallenged => _challenged.Task.IsCompleted;

    /// <summary>The relay's verdict on the answer that is under way or comes next; false when the connection ends first.</summary>
    public Task<bool> Verdict
    {
        get
        {
            lock (_gate)
            {
                return _verdict.Task;
            }
        }
    }

    /// <summary>True while an answer to a challenge is under way.</summary>
    public bool IsAnswering
    {
        get
        {
            lock (_gate)
            {
                return _authId is not null;
            }
        }
    }

    /// <summary>Connects; nothing is read before <see cref="RunAsync"/>.</summary>
    /// <param name="options">Where and how; of the standing subscription and its pauses nothing is used.</param>
    /// <param name="time">The clock.</param>
    /// <param name="onVerdict">Told of each verdict on our key, by the reader.</param>
    /// <param name="cancellationToken">Gives up connecting.</param>
    /// <exception cref="WebSocketException">There is no connection, or it is no WebSocket.</exception>
    /// <exception cref="OperationCanceledException">The time was over.</exception>
    public static async Task<RelaySession> ConnectAsync(
        RelayConnectionOptions options, TimeProvider time, Func<RelaySession, bool, ValueTask>? onVerdict, CancellationToken cancellationToken) =>
        new(await RelaySocket.ConnectAsync(options, time, cancellationToken), options, time, onVerdict);

    /// <summary>An id for a subscription: 16 random bytes, so that nobody can send events for one of a former connection. NIP-01 allows 64
    /// characters.</summary>
    public static string NewId() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    /// <summary>True for an exception that means that the connection has ended or is ending.</summary>
    public static bool IsEnd(Exception exception) =>
        exception is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException;

    /// <summary>Reads until the connection ends, by the relay, by <see cref="Close"/> or by the token. Once only.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Ended);
        try
        {
            while (await _socket.ReceiveAsync(either.Token) is { } frame)
            {
                await HandleAsync(frame);
            }
        }
        finally
        {
            End();
        }
    }

    /// <summary>From now on the listener hears what is said to this subscription.</summary>
    public void Add(string id, RelayListener listener) => _listeners[id] = listener;

    /// <summary>The listener hears no more; false when the relay ended the subscription before.</summary>
    public bool Remove(string id) => _listeners.TryRemove(id, out _);

    /// <summary>Sends one message. The token is looked at before it begins: a send that is cancelled half-way would end the connection.</summary>
    public Task SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return _socket.SendAsync(message, Ended);
    }

    /// <summary>Publishes an event and waits for the OK, for <see cref="RelayConnectionOptions.AnswerTimeout"/> at the most.</summary>
    /// <exception cref="OperationCanceledException">Cancelled by the caller.</exception>
    public async Task<PublishResult> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
    {
        var answer = _publishing.GetOrAdd(evt.Id, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
        try
        {
            await SendAsync(ClientMessageWriter.Event(evt.Json.Span), cancellationToken);
            return await answer.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return PublishResult.TimedOut;
        }
        catch (Exception e) when (IsEnd(e) && !cancellationToken.IsCancellationRequested)
        {
            return PublishResult.Disconnected;
        }
        finally
        {
            _publishing.TryRemove(evt.Id, out _);
        }
    }

    /// <summary>True when the relay has accepted our key; waits a bounded time for its challenge and for its verdict.</summary>
    public async Task<bool> WaitForVerdictAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _challenged.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
            return IsAuthenticated || await Verdict.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Breaks the connection; the reader ends with an exception.</summary>
    public void Abort() => _socket.Abort();

    /// <summary>Ends reading and sending.</summary>
    public void Close() => End();

    /// <summary>Ends it; the reader must have ended or never begun.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            End();
            _socket.Dispose();
            _closing.Dispose();
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
            // A subscription we never made, or an old one, has no listener.
            case RelayMessageKind.Event when _listeners.TryGetValue(message.SubscriptionId!, out var listener):
                listener.OnEvent(message.Event);
                return ValueTask.CompletedTask;
            case RelayMessageKind.Eose when _listeners.TryGetValue(message.SubscriptionId!, out var listener):
                return listener.OnEoseAsync(message.Hint);
            case RelayMessageKind.Closed when _listeners.TryRemove(message.SubscriptionId!, out var listener):
                return listener.OnClosedAsync(RejectPrefixes.Read(message.Prefix), message.Text);
            case RelayMessageKind.NegMsg or RelayMessageKind.NegErr when _listeners.TryGetValue(message.SubscriptionId!, out var listener):
                listener.OnReconciliation(message);
                return ValueTask.CompletedTask;
            case RelayMessageKind.Ok:
                return TakeOkAsync(message.EventId, message.Accepted, RejectPrefixes.Read(message.Prefix), message.Text);
            case RelayMessageKind.Auth when _options.AuthKey is not null && message.Text.Length > 0:
                return AnswerAsync(message.Text);
            default:
                return ValueTask.CompletedTask;
        }
    }

    private ValueTask TakeOkAsync(Bytes32 id, bool accepted, RejectPrefix prefix, string text)
    {
        TaskCompletionSource<bool>? verdict = null;
        lock (_gate)
        {
            if (_authId is { } auth && auth == id)
            {
                _authId = null;
                IsAuthenticated |= accepted;
                verdict = _verdict;
            }
        }

        if (verdict is not null)
        {
            verdict.TrySetResult(accepted);
            return _onVerdict is null ? ValueTask.CompletedTask : _onVerdict(this, accepted);
        }

        if (_publishing.TryGetValue(id, out var answer))
        {
            answer.TrySetResult(new PublishResult(accepted, prefix, text));
        }

        return ValueTask.CompletedTask;
    }

    private async ValueTask AnswerAsync(string challenge)
    {
        var answer = NostrEvent.Create(
            _options.AuthKey!,
            AuthKind,
            [["relay", _options.AuthUrl ?? _options.Url.AbsoluteUri], ["challenge", challenge]],
            string.Empty,
            _time.GetUtcNow().ToUnixTimeSeconds());
        lock (_gate)
        {
            _authId = answer.Id;
            if (_verdict.Task.IsCompleted)
            {
                _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        _challenged.TrySetResult();
        await SendAsync(ClientMessageWriter.Auth(answer.Json.Span), CancellationToken.None);
    }

    private void End()
    {
        TaskCompletionSource<bool> verdict;
        lock (_gate)
        {
            if (IsClosed)
            {
                return;
            }

            IsClosed = true;
            _authId = null;
            verdict = _verdict;
        }

        _closing.Cancel();
        _challenged.TrySetResult();
        verdict.TrySetResult(false);
        foreach (var answer in _publishing.Values)
        {
            answer.TrySetResult(PublishResult.Disconnected);
        }

        foreach (var listener in _listeners.Values)
        {
            listener.OnEnd();
        }
    }
}
