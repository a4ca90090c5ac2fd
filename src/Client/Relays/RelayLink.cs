using System.Collections.Concurrent;
using System.Globalization;
using System.Net.WebSockets;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Messages;
using Marmot.Protocol.RelayClient;

namespace Marmot.Client.Relays;

/// <summary>One relay, connected when something is asked of it and again when the connection was cut; answers NIP-42 challenges when it has a key.</summary>
/// <remarks><see cref="RelayConnection"/> serves servers that listen for ever; a client asks many short questions. Both stand on <see cref="RelaySocket"/>. Thread-safe.</remarks>
internal sealed class RelayLink(string relay, SecretKey? account, RelayNetworkOptions options, TimeProvider time) : IAsyncDisposable
{
    private const int AuthKind = 22242; // NIP-42

    private readonly SemaphoreSlim _connecting = new(1, 1);
    private Wire? _wire;
    private long _subscriptions;
    private bool _disposed;

    /// <summary>True for <c>auth-required:</c>.</summary>
    internal static bool WantsAuth(string message) => message.StartsWith(RejectPrefix.AuthRequired, StringComparison.Ordinal);

    public async Task<RelayReply> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
    {
        for (int attempt = 0; ; attempt++)
        {
            if (await ConnectAsync(cancellationToken) is not { } wire)
            {
                return new RelayReply(relay, RelayAnswer.Unknown, "no connection");
            }

            var (answer, message) = await wire.PublishAsync(evt, cancellationToken);
            if (answer == RelayAnswer.Refused && attempt == 0 && account is not null && WantsAuth(message) && await wire.WaitForAuthAsync(cancellationToken))
            {
                continue;
            }

            // A connection that died while it was idle shows itself now: once more over a new one.
            if (answer == RelayAnswer.Unknown && attempt == 0 && wire.IsClosed && !cancellationToken.IsCancellationRequested)
            {
                continue;
            }

            return new RelayReply(relay, answer, message);
        }
    }

    public async Task<RelayFetch> FetchAsync(Filter filter, CancellationToken cancellationToken)
    {
        bool reconnected = false, introduced = false;
        while (true)
        {
            if (await ConnectAsync(cancellationToken) is not { } wire)
            {
                return new RelayFetch(relay, [], false, "no connection");
            }

            bool asStranger = !await wire.SettleAuthAsync(cancellationToken);
            var (events, complete, message) = await wire.QueryAsync(NextId(), filter, cancellationToken);
            if (!complete && wire.IsClosed && !reconnected && !cancellationToken.IsCancellationRequested)
            {
                reconnected = true;
            }
            else if (asStranger && !introduced && await wire.MayAskAgainAsync(events.Count, complete ? string.Empty : message, cancellationToken))
            {
                introduced = true;
            }
            else
            {
                return new RelayFetch(relay, events, complete, message);
            }
        }
    }

    /// <summary>Listens until cancelled or cut; true when the subscription stood at all.</summary>
    public async Task<bool> ListenAsync(Filter filter, Action<NostrEvent> onEvent, CancellationToken cancellationToken)
    {
        if (await ConnectAsync(cancellationToken) is not { } wire)
        {
            return false;
        }

        await wire.SettleAuthAsync(cancellationToken);
        return await wire.ListenAsync(NextId, filter, onEvent, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        if (Interlocked.Exchange(ref _wire, null) is { } wire)
        {
            await wire.DisposeAsync();
        }
    }

    private string NextId() => Interlocked.Increment(ref _subscriptions).ToString("x", CultureInfo.InvariantCulture);

    private async Task<Wire?> ConnectAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _connecting.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            return null;
        }

        try
        {
            if (_wire is { IsClosed: false } open)
            {
                return open;
            }

            if (_wire is { } dead)
            {
                _wire = null;
                await dead.DisposeAsync();
            }

            return _disposed ? null : _wire = await Wire.OpenAsync(relay, account, options, time, cancellationToken);
        }
        catch (Exception exception) when (exception is WebSocketException or HttpRequestException or IOException or OperationCanceledException or UriFormatException or InvalidOperationException or ArgumentException)
        {
            return null;
        }
        finally
        {
            _connecting.Release();
        }
    }

    /// <summary>One WebSocket and its reader loop.</summary>
    private sealed class Wire : IAsyncDisposable
    {
        private readonly RelaySocket _socket;
        private readonly string _relay;
        private readonly SecretKey? _account;
        private readonly RelayNetworkOptions _options;
        private readonly TimeProvider _time;
        private readonly CancellationTokenSource _closing = new();
        private readonly ConcurrentDictionary<Bytes32, TaskCompletionSource<(RelayAnswer, string)>> _publishing = new();
        private readonly ConcurrentDictionary<string, Subscription> _subscriptions = new(StringComparer.Ordinal);
        private readonly TaskCompletionSource _challenged = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private volatile TaskCompletionSource<bool> _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously); // on the last challenge
        private Bytes32? _authId;
        private Task _reading = Task.CompletedTask;

        private Wire(RelaySocket socket, string relay, SecretKey? account, RelayNetworkOptions options, TimeProvider time)
        {
            _socket = socket;
            _relay = relay;
            _account = account;
            _options = options;
            _time = time;
        }

        public bool IsClosed { get; private set; }

        /// <summary>The relay has accepted our key.</summary>
        public bool IsAuthenticated { get; private set; }

        public static async Task<Wire> OpenAsync(string relay, SecretKey? account, RelayNetworkOptions options, TimeProvider time, CancellationToken cancellationToken)
        {
            var settings = new RelayConnectionOptions { Url = new Uri(relay), ConnectTimeout = options.ConnectTimeout, MaxMessageBytes = options.MaxMessageBytes, TrustedRoots = options.TrustedRoots };
            var socket = await RelaySocket.ConnectAsync(settings, time, cancellationToken);
            var wire = new Wire(socket, relay, account, options, time);
            wire._reading = wire.ReadAsync();
            return wire;
        }

        public async Task<(RelayAnswer Answer, string Message)> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
        {
            var answer = _publishing.GetOrAdd(evt.Id, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
            try
            {
                await SendAsync(ClientMessageWriter.Event(evt.Json.Span), cancellationToken);
                return await answer.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
            }
            catch (TimeoutException)
            {
                return (RelayAnswer.Unknown, "no answer in time");
            }
            catch (Exception exception) when (IsEnd(exception))
            {
                return (RelayAnswer.Unknown, "the connection was cut");
            }
            finally
            {
                _publishing.TryRemove(evt.Id, out _);
            }
        }

        public async Task<(IReadOnlyList<NostrEvent> Events, bool Complete, string Message)> QueryAsync(string id, Filter filter, CancellationToken cancellationToken)
        {
            var events = new List<NostrEvent>();
            var subscription = new Subscription(events.Add);
            _subscriptions[id] = subscription;
            string message;
            try
            {
                await SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);

                // The limit is on silence, not on the whole: a long history may take its time.
                while (true)
                {
                    int seen = subscription.Count;
                    try
                    {
                        message = await subscription.Stored.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
                        break;
                    }
                    catch (TimeoutException) when (subscription.Count > seen)
                    {
                        // Still sending.
                    }
                }

                if (message.Length == 0)
                {
                    await SendAsync(ClientMessageWriter.Close(id), cancellationToken);
                }
            }
            catch (TimeoutException)
            {
                message = "no answer in time";
            }
            catch (Exception exception) when (IsEnd(exception))
            {
                message = "the connection was cut";
            }
            finally
            {
                _subscriptions.TryRemove(id, out _);
            }

            lock (subscription)
            {
                return ([.. events], message.Length == 0, message);
            }
        }

        public async Task<bool> ListenAsync(Func<string> nextId, Filter filter, Action<NostrEvent> onEvent, CancellationToken cancellationToken)
        {
            bool asStranger = !IsAuthenticated;
            string id = nextId(), first = id;
            var subscription = new Subscription(onEvent);
            _subscriptions[id] = subscription;
            try
            {
                await SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
                string refusal = await subscription.Stored.Task.WaitAsync(cancellationToken);
                if (asStranger && await MayAskAgainAsync(subscription.Count, refusal, cancellationToken))
                {
                    // The first one stays until the second stands, so that nothing falls between.
                    id = nextId();
                    subscription = new Subscription(onEvent);
                    _subscriptions[id] = subscription;
                    await SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
                    await subscription.Stored.Task.WaitAsync(cancellationToken);
                    await CloseAsync(first);
                }

                await subscription.Ended.Task.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (!IsClosed)
            {
                await CloseAsync(first);
                if (id != first)
                {
                    await CloseAsync(id);
                }
            }
            catch (Exception exception) when (IsEnd(exception))
            {
                // Cut; the caller connects again.
            }
            finally
            {
                _subscriptions.TryRemove(first, out _);
                _subscriptions.TryRemove(id, out _);
            }

            return subscription.Stored.Task.IsCompletedSuccessfully;
        }

        /// <summary>True when the relay has accepted our key; waits for its verdict only when a challenge has come already.</summary>
        public async Task<bool> SettleAuthAsync(CancellationToken cancellationToken) =>
            IsAuthenticated || (_challenged.Task.IsCompleted && await WaitForAuthAsync(cancellationToken));

        /// <summary>
        /// Whether a request that was made as a stranger is worth repeating. Relays challenge when a client connects, with a refusal, or when a request needs
        /// it and then let it wait (NIP-42); some answer a stranger with nothing instead of refusing him.
        /// </summary>
        /// <param name="events">How many events came.</param>
        /// <param name="refusal">The text of CLOSED; empty after EOSE.</param>
        /// <param name="cancellationToken">Ends the waiting for the verdict.</param>
        public async Task<bool> MayAskAgainAsync(int events, string refusal, CancellationToken cancellationToken) =>
            _account is not null
            && (WantsAuth(refusal) || (refusal.Length == 0 && events == 0 && _challenged.Task.IsCompleted))
            && await WaitForAuthAsync(cancellationToken);

        /// <summary>True when the relay has accepted our key; waits a bounded time for its challenge and its verdict.</summary>
        public async Task<bool> WaitForAuthAsync(CancellationToken cancellationToken)
        {
            try
            {
                await _challenged.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
                return IsAuthenticated || await _verdict.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
            }
            catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
            {
                return false;
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _closing.CancelAsync();
            await _reading;
            _socket.Dispose();
            _closing.Dispose();
        }

        private async Task CloseAsync(string id)
        {
            if (!_subscriptions.TryRemove(id, out _))
            {
                return;
            }

            try
            {
                await SendAsync(ClientMessageWriter.Close(id), CancellationToken.None);
            }
            catch (Exception exception) when (IsEnd(exception))
            {
                // It is closed anyway.
            }
        }

        // A send that is cancelled half-way kills the socket, so only its own end cancels it.
        private Task SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return _socket.SendAsync(message, _closing.Token);
        }

        private async Task ReadAsync()
        {
            try
            {
                while (await _socket.ReceiveAsync(_closing.Token) is { } frame)
                {
                    await HandleAsync(frame);
                }
            }
            catch (Exception exception) when (IsEnd(exception))
            {
                // Any end of the connection is the same.
            }
            finally
            {
                IsClosed = true;
                _challenged.TrySetResult();
                _verdict.TrySetResult(false);
                foreach (var answer in _publishing.Values)
                {
                    answer.TrySetResult((RelayAnswer.Unknown, "the connection was cut"));
                }

                foreach (var subscription in _subscriptions.Values)
                {
                    subscription.End("the connection was cut");
                }
            }
        }

        private ValueTask HandleAsync(ReadOnlyMemory<byte> frame)
        {
            if (!RelayMessageReader.TryRead(frame.Span, out var message, out _))
            {
                return ValueTask.CompletedTask;
            }

            switch (message.Kind)
            {
                case RelayMessageKind.Event when _subscriptions.TryGetValue(message.SubscriptionId!, out var subscription):
                    subscription.Take(NostrEvent.FromView(message.Event));
                    break;
                case RelayMessageKind.Eose when _subscriptions.TryGetValue(message.SubscriptionId!, out var subscription):
                    subscription.Stored.TrySetResult(string.Empty);
                    break;
                case RelayMessageKind.Closed when _subscriptions.TryGetValue(message.SubscriptionId!, out var subscription):
                    subscription.End(message.Text.Length > 0 ? message.Text : "closed by the relay");
                    break;
                case RelayMessageKind.Ok when _authId == message.EventId:
                    IsAuthenticated |= message.Accepted;
                    _verdict.TrySetResult(message.Accepted);
                    break;
                case RelayMessageKind.Ok when _publishing.TryGetValue(message.EventId, out var answer):
                    answer.TrySetResult((message.Accepted ? RelayAnswer.Accepted : RelayAnswer.Refused, message.Text));
                    break;
                case RelayMessageKind.Auth when _account is not null && message.Text.Length > 0:
                    return AnswerAsync(message.Text);
            }

            return ValueTask.CompletedTask;
        }

        private async ValueTask AnswerAsync(string challenge)
        {
            var answer = NostrEvent.Create(_account!, AuthKind, [["relay", _relay], ["challenge", challenge]], string.Empty, _time.GetUtcNow().ToUnixTimeSeconds());
            _authId = answer.Id;
            if (_verdict.Task.IsCompleted)
            {
                _verdict = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }

            _challenged.TrySetResult();
            await SendAsync(ClientMessageWriter.Auth(answer.Json.Span), _closing.Token);
        }

        private static bool IsEnd(Exception exception) =>
            exception is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException;
    }

    private sealed class Subscription(Action<NostrEvent> onEvent)
    {
        public int Count { get; private set; }

        /// <summary>Empty at EOSE, the reason at CLOSED.</summary>
        public TaskCompletionSource<string> Stored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Take(NostrEvent evt)
        {
            lock (this)
            {
                Count++;
                onEvent(evt);
            }
        }

        public void End(string reason)
        {
            Stored.TrySetResult(reason);
            Ended.TrySetResult();
        }
    }
}
