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
/// <remarks><see cref="RelayConnection"/> serves servers that listen for ever; a client asks many short questions. Both stand on <see cref="RelaySession"/>.
/// Thread-safe.</remarks>
internal sealed class RelayLink(string relay, SecretKey? account, RelayNetworkOptions options, TimeProvider time) : IAsyncDisposable
{
    private const string Cut = "the connection was cut";

    private readonly SemaphoreSlim _connecting = new(1, 1);
    private Wire? _wire;
    private long _subscriptions;
    private bool _disposed;

    /// <summary>True for <c>auth-required:</c>.</summary>
    internal static bool WantsAuth(string message) => message.StartsWith(RejectPrefix.AuthRequired.Label(), StringComparison.Ordinal);

    public async Task<RelayReply> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
    {
        for (int attempt = 0; ; attempt++)
        {
            if (await ConnectAsync(cancellationToken) is not { } wire)
            {
                return new RelayReply(relay, RelayAnswer.Unknown, "no connection");
            }

            var (answer, message) = await wire.PublishAsync(evt, cancellationToken);
            if (answer == RelayAnswer.Refused && attempt == 0 && account is not null && WantsAuth(message)
                && await wire.Session.WaitForVerdictAsync(cancellationToken))
            {
                continue;
            }

            // A connection that died while it was idle shows itself now: once more over a new one.
            if (answer == RelayAnswer.Unknown && attempt == 0 && wire.Session.IsClosed && !cancellationToken.IsCancellationRequested)
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

            bool asStranger = !await wire.CompleteAuthAsync(cancellationToken);
            var (events, hint, message) = await wire.QueryAsync(NextId(), filter, cancellationToken);
            bool complete = message.Length == 0;
            if (!complete && wire.Session.IsClosed && !reconnected && !cancellationToken.IsCancellationRequested)
            {
                reconnected = true;
            }
            else if (asStranger && !introduced && await wire.MayAskAgainAsync(events.Count, complete ? string.Empty : message, cancellationToken))
            {
                introduced = true;
            }
            else
            {
                return new RelayFetch(relay, events, complete, message) { Hint = hint };
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

        await wire.CompleteAuthAsync(cancellationToken);
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
            if (_wire is { Session.IsClosed: false } open)
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
        catch (Exception exception)
            when (exception is WebSocketException or HttpRequestException or IOException or OperationCanceledException or UriFormatException
                or InvalidOperationException or ArgumentException)
        {
            return null;
        }
        finally
        {
            _connecting.Release();
        }
    }

    /// <summary>One connection and what is asked over it.</summary>
    private sealed class Wire : IAsyncDisposable
    {
        private readonly RelayNetworkOptions _options;
        private readonly TimeProvider _time;
        private readonly bool _hasKey;
        private readonly Task _reading;

        private Wire(RelaySession session, RelayNetworkOptions options, bool hasKey, TimeProvider time)
        {
            Session = session;
            _options = options;
            _hasKey = hasKey;
            _time = time;
            _reading = ReadAsync();
        }

        public RelaySession Session { get; }

        public static async Task<Wire> OpenAsync(string relay, SecretKey? account, RelayNetworkOptions options, TimeProvider time,
            CancellationToken cancellationToken)
        {
            var settings = new RelayConnectionOptions
            {
                Url = new Uri(relay),
                AuthUrl = relay,
                AuthKey = account,
                ConnectTimeout = options.ConnectTimeout,
                AnswerTimeout = options.AnswerTimeout,
                MaxMessageBytes = options.MaxMessageBytes,
                TrustedRoots = options.TrustedRoots,
            };
            return new Wire(await RelaySession.ConnectAsync(settings, time, onVerdict: null, cancellationToken), options, account is not null, time);
        }

        public async Task<(RelayAnswer Answer, string Message)> PublishAsync(NostrEvent evt, CancellationToken cancellationToken)
        {
            try
            {
                var result = await Session.PublishAsync(evt, cancellationToken);
                return result == PublishResult.TimedOut ? (RelayAnswer.Unknown, "no answer in time")
                    : result == PublishResult.Disconnected ? (RelayAnswer.Unknown, Cut)
                    : (result.Accepted ? RelayAnswer.Accepted : RelayAnswer.Refused, result.Text);
            }
            catch (OperationCanceledException)
            {
                return (RelayAnswer.Unknown, Cut);
            }
        }

        public async Task<(IReadOnlyList<NostrEvent> Events, EoseHint Hint, string Message)> QueryAsync(
            string id, Filter filter, CancellationToken cancellationToken)
        {
            var events = new List<NostrEvent>();
            var subscription = new Subscription(events.Add);
            Session.Add(id, subscription);
            string message;
            try
            {
                await Session.SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);

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
                    await Session.SendAsync(ClientMessageWriter.Close(id), cancellationToken);
                }
            }
            catch (TimeoutException)
            {
                message = "no answer in time";
            }
            catch (Exception exception) when (RelaySession.IsEnd(exception))
            {
                message = Cut;
            }
            finally
            {
                Session.Remove(id);
            }

            lock (subscription)
            {
                return ([.. events], subscription.Hint, message);
            }
        }

        public async Task<bool> ListenAsync(Func<string> nextId, Filter filter, Action<NostrEvent> onEvent, CancellationToken cancellationToken)
        {
            bool asStranger = !Session.IsAuthenticated;
            string id = nextId(), first = id;
            var subscription = new Subscription(onEvent);
            Session.Add(id, subscription);
            try
            {
                await Session.SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
                string refusal = await subscription.Stored.Task.WaitAsync(cancellationToken);
                if (asStranger && await MayAskAgainAsync(subscription.Count, refusal, cancellationToken))
                {
                    // The first one stays until the second stands, so that nothing falls between.
                    id = nextId();
                    subscription = new Subscription(onEvent);
                    Session.Add(id, subscription);
                    await Session.SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
                    await subscription.Stored.Task.WaitAsync(cancellationToken);
                    await CloseAsync(first);
                }

                await subscription.Ended.Task.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (!Session.IsClosed)
            {
                await CloseAsync(first);
                if (id != first)
                {
                    await CloseAsync(id);
                }
            }
            catch (Exception exception) when (RelaySession.IsEnd(exception))
            {
                // Cut; the caller connects again.
            }
            finally
            {
                Session.Remove(first);
                Session.Remove(id);
            }

            return subscription.Stored.Task.IsCompletedSuccessfully;
        }

        /// <summary>True when the relay has accepted our key; waits for its verdict only when a challenge has come already.</summary>
        public async Task<bool> CompleteAuthAsync(CancellationToken cancellationToken) =>
            Session.IsAuthenticated || (Session.IsChallenged && await Session.WaitForVerdictAsync(cancellationToken));

        /// <summary>
        /// Whether a request that was made as a stranger is worth repeating. Relays challenge when a client connects, with a refusal, or when a request needs
        /// it and then let it wait (NIP-42); some answer a stranger with nothing instead of refusing him.
        /// </summary>
        /// <param name="events">How many events came.</param>
        /// <param name="refusal">The text of CLOSED; empty after EOSE.</param>
        /// <param name="cancellationToken">Ends the waiting for the verdict.</param>
        public async Task<bool> MayAskAgainAsync(int events, string refusal, CancellationToken cancellationToken) =>
            _hasKey
            && (WantsAuth(refusal) || (refusal.Length == 0 && events == 0 && Session.IsChallenged))
            && await Session.WaitForVerdictAsync(cancellationToken);

        public async ValueTask DisposeAsync()
        {
            Session.Close();
            await _reading;
            Session.Dispose();
        }

        private async Task CloseAsync(string id)
        {
            if (!Session.Remove(id))
            {
                return;
            }

            try
            {
                await Session.SendAsync(ClientMessageWriter.Close(id), CancellationToken.None);
            }
            catch (Exception exception) when (RelaySession.IsEnd(exception))
            {
                // It is closed anyway.
            }
        }

        private async Task ReadAsync()
        {
            try
            {
                await Session.RunAsync(CancellationToken.None);
            }
            catch (Exception exception) when (RelaySession.IsEnd(exception))
            {
                // Any end of the connection is the same.
            }
        }
    }

    private sealed class Subscription(Action<NostrEvent> onEvent) : RelayListener
    {
        public int Count { get; private set; }

        /// <summary>What EOSE said (NIP-67).</summary>
        public EoseHint Hint { get; private set; }

        /// <summary>Empty at EOSE, the reason at CLOSED.</summary>
        public TaskCompletionSource<string> Stored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override void OnEvent(in NostrEventView evt)
        {
            lock (this)
            {
                Count++;
                onEvent(NostrEvent.FromView(evt));
            }
        }

        protected override ValueTask OnEoseAsync(EoseHint hint)
        {
            Hint = hint;
            Stored.TrySetResult(string.Empty);
            return ValueTask.CompletedTask;
        }

        protected override ValueTask OnClosedAsync(RejectPrefix prefix, string text)
        {
            End(text.Length > 0 ? text : "closed by the relay");
            return ValueTask.CompletedTask;
        }

        protected override void OnEnd() => End(Cut);

        private void End(string reason)
        {
            Stored.TrySetResult(reason);
            Ended.TrySetResult();
        }
    }
}
