using System.Buffers;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Budgets;
using Marmot.Relay.Dispatch;
using Marmot.Relay.Frames;
using Marmot.Relay.Queries;
using Marmot.Relay.Replies;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Connections;

/// <summary>One client: reads frames, gathers the whole messages of a read into a batch, hands it on, and starts over.</summary>
/// <remarks>The read loop owns everything here but the outbox. An idle connection holds no buffer.</remarks>
internal sealed class Connection : IClientEnd, IDisposable
{
    private static readonly TimeSpan MinHold = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxHold = TimeSpan.FromSeconds(2); // short of what a client takes for a dead connection
    private static readonly TimeSpan PendingOkTime = TimeSpan.FromSeconds(2);
    private readonly ClientTransport _transport;
    private readonly RelayBudgets _budgets;
    private readonly RelayOptions _options;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _ended = new();
    private volatile ConnectionEnd _end;
    private long _lastHeard;
    private bool _pinged;
    private readonly AddressShares _shares;
    private readonly AddressShare _share;
    private int _keysAsked; // IsMemberUnknown's own
    private bool _isDisposed; // under the lock of _share
    private long _inputBytes; // the read loop's own
    private readonly OversizedSkip _oversized = new();
    private long _messageSince; // when the message began to arrive that is not whole; 0 while there is none

    /// <remarks>The place (<paramref name="share"/>) is given back when the connection is disposed.</remarks>
    public Connection(
        ClientTransport transport,
        AddressShare share,
        AddressShares shares,
        string challenge,
        RelayBudgets budgets,
        FairScheduler turns,
        OutboxMemory memory,
        AuthWaiting? waiting,
        RelayOptions options,
        TimeProvider clock)
    {
        _budgets = budgets;
        _shares = shares;
        _share = share;
        _transport = transport;
        _options = options;
        _clock = clock;
        _lastHeard = clock.GetTimestamp();
        var outbox = new Outbox(transport.Output, memory, options.MaxOutboxBytes, options.WriteTimeout, Drop, transport.Socket);
        var auth = new Authentication(outbox, challenge, transport.RelayUrl, waiting, transport.Input, clock);
        var turn = new FairTurn(turns, budgets.LaneOf(share.Prefix));
        Client = new ReplyTarget(outbox, auth, turn, budgets, new EventBudget(clock, options.MaxEventsPerSecond), this)
        {
            Address = transport.Address,
            AddressPrefix = share.Prefix,
            Compression = transport.IsDeflating ? options.Compression : RelayCompression.Off,
        };
        Open = new OpenRequests(Client, shares, share, options.MaxFilterBytes);
    }

    /// <summary>What the rooms know of this client.</summary>
    public ReplyTarget Client { get; }

    /// <summary>What it has open.</summary>
    public OpenRequests Open { get; }

    /// <summary>Its client proved a key that is known here (<see cref="AddressShares.TryAdmitMember"/>); the loop of <see cref="ConnectionSet"/> alone sets
    /// it.</summary>
    public bool IsMember { get; private set; }

    /// <summary>Why it ended, once it did.</summary>
    public ConnectionEnd EndReason => _end;

    /// <summary>Serves the client until it leaves or is dropped.</summary>
    public async Task RunAsync(MessageDispatch dispatch, CancellationToken shutdown)
    {
        using var registration = shutdown.UnsafeRegister(static state => ((Connection)state!).Drop(ConnectionEnd.ShuttingDown), this);
        Outbox.SendHandshake(_transport.Handshake);
        if (_options.AuthOnConnect)
        {
            Client.Auth.SendChallenge();
        }

        Outbox.Flush();
        var reader = _transport.Input;
        var unread = 0L; // what stayed from the last read
        using var batch = new MessageBatch();
        try
        {
            while (true)
            {
                var read = await reader.ReadAsync(_ended.Token);
                var rest = read.Buffer;
                if (read.IsCanceled)
                {
                    Client.Auth.RefuseExpired(); // the timer of AuthWaits, nothing was heard
                }
                else
                {
                    Volatile.Write(ref _lastHeard, _clock.GetTimestamp());
                    _pinged = false;
                }

                // What an address sends costs it as it arrives, whatever it is; one that is over its budget is read from slowly.
                var wait = _budgets.Charge(Client.AddressPrefix, RelayBudgets.ReadUnitsOf(rest.Length - unread));
                bool more;
                do
                {
                    more = ReadFrames(ref rest, batch);
                    var count = batch.Count;
                    var units = RelayBudgets.MessageUnitsOf(count, batch.TakeInflatedBytes());
                    if (count > 0)
                    {
                        await dispatch.HandleAsync(Open, batch, _ended.Token);
                        batch.Clear();
                        wait = _budgets.Charge(Client.AddressPrefix, units);
                    }

                    if (_oversized.TakeSkipped() is { } skipped)
                    {
                        dispatch.RefuseTooLarge(Open, skipped);
                    }

                    Watch(rest.Length + batch.OpenLength + (_oversized.IsInMessage ? 1 : 0), isNew: count > 0);
                    more &= _end == ConnectionEnd.None;
                    if (more && wait > TimeSpan.Zero)
                    {
                        Outbox.Flush();
                        await HoldAsync(wait);
                    }
                }
                while (more);

                Outbox.Flush();
                unread = rest.Length;
                reader.AdvanceTo(rest.Start, rest.End);
                if (read.IsCompleted || _end != ConnectionEnd.None)
                {
                    return;
                }

                if (wait > TimeSpan.Zero)
                {
                    await HoldAsync(wait);
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or InvalidOperationException
            or Microsoft.AspNetCore.Connections.ConnectionAbortedException)
        {
            Interlocked.CompareExchange(ref _end, ConnectionEnd.WentAway, ConnectionEnd.None);
        }
        finally
        {
            Interlocked.CompareExchange(ref _end, ConnectionEnd.Closed, ConnectionEnd.None); // nobody drops it any more
            if (_end == ConnectionEnd.ShuttingDown)
            {
                await SayShutdownAsync();
            }

            // A close frame and what stands before it get a moment; a reader that does not read gets none.
            if (!_end.IsUnread())
            {
                using var moment = new CancellationTokenSource(TimeSpan.FromSeconds(1), _clock);
                await Outbox.WaitAsync(0, moment.Token)
                    .ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }

            Client.Auth.Dispose();
            Outbox.Close();
            await _transport.CloseAsync();
            Outbox.Release();
        }
    }

    /// <summary>Ends the connection from any thread; the reason goes to the client only when it still reads.</summary>
    public void Drop(ConnectionEnd reason)
    {
        if (Interlocked.CompareExchange(ref _end, reason, ConnectionEnd.None) != ConnectionEnd.None)
        {
            return;
        }

        if (reason.IsUnread())
        {
            _transport.Abort();
        }
        else if (reason == ConnectionEnd.ListensToTooMuch)
        {
            Outbox.SendNotice("rate-limited: more live events than this address may be sent; ask for fewer");
            SendClose(reason);
        }

        _ = _ended.CancelAsync(); // what waits for it ends on a thread of its own, not inside the caller's locks
    }

    /// <inheritdoc/>
    public void EndNotUtf8() => End(ConnectionEnd.NotUtf8);

    /// <summary>Pings a silent client; ends one that was silent through the next interval too.</summary>
    public void CheckAlive()
    {
        if (Volatile.Read(ref _messageSince) is var since and not 0 && _clock.GetElapsedTime(since) >= _options.MessageTimeout)
        {
            Expire();
            return;
        }

        if (_clock.GetElapsedTime(Volatile.Read(ref _lastHeard)) < _options.PingInterval)
        {
            return;
        }

        if (_pinged && _clock.GetElapsedTime(Volatile.Read(ref _lastHeard)) >= _options.PingInterval * 2)
        {
            Drop(ConnectionEnd.WentAway);
        }
        else if (!_pinged)
        {
            _pinged = true;
            Outbox.Send([], FrameOpcode.Ping);
            Outbox.Flush();
        }
    }

    public void Dispose()
    {
        _ended.Dispose();
        HoldInput(0);
        lock (_share)
        {
            _isDisposed = true;
            _shares.Close(_share, IsMember);
        }
    }

    /// <summary>Its client has proved a key more since this was last asked: whether it is a member's is to be found out. For the loop of
    /// <see cref="ConnectionSet"/>.</summary>
    public bool IsMemberUnknown
    {
        get
        {
            var asked = _keysAsked;
            _keysAsked = Client.Keys.Length;
            return Client.AddressPrefix is not null && !IsMember && _keysAsked > asked;
        }
    }

    /// <summary>Counts it as a member's from now on, if its address does not have too many of them.</summary>
    public void AdmitMember()
    {
        lock (_share)
        {
            IsMember = IsMember || (!_isDisposed && _shares.TryAdmitMember(_share));
        }
    }

    // After each look at what has arrived: what is not whole, or waits to be read, is counted and has a time limit.
    private void Watch(long bytes, bool isNew)
    {
        if (bytes == 0)
        {
            Volatile.Write(ref _messageSince, 0);
        }
        else if (isNew || _messageSince == 0)
        {
            Volatile.Write(ref _messageSince, _clock.GetTimestamp());
        }

        if (!HoldInput(bytes))
        {
            Outbox.SendNotice("rate-limited: too much of messages that are not whole");
            End(ConnectionEnd.HeldTooMuchInput);
        }
    }

    // In steps, so that most reads change nothing.
    private bool HoldInput(long bytes)
    {
        const int Step = 4096;
        var steps = (bytes + Step - 1) / Step * Step;
        var more = steps - _inputBytes;
        if (more > 0 && !_shares.Input.TryTake(ref _share.InputBytes, more, _share.Part))
        {
            return false;
        }

        if (more < 0)
        {
            _shares.Input.Return(ref _share.InputBytes, -more);
        }

        _inputBytes = steps;
        return true;
    }

    // From another thread than the read loop's.
    private void Expire()
    {
        if (Interlocked.CompareExchange(ref _end, ConnectionEnd.MessageTooSlow, ConnectionEnd.None) == ConnectionEnd.None)
        {
            _budgets.Charge(Client.AddressPrefix, RelayBudgets.ViolationUnits);
            SendClose(ConnectionEnd.MessageTooSlow);
            _ = _ended.CancelAsync();
        }
    }

    private Outbox Outbox => Client.Outbox;

    private Task HoldAsync(TimeSpan wait) =>
        _transport.HoldAsync(TimeSpan.FromTicks(Math.Clamp(wait.Ticks, MinHold.Ticks, MaxHold.Ticks)), _clock, _ended.Token);

    // Takes frames until the bytes or the batch are used up; true when there may be more in the same bytes.
    private bool ReadFrames(ref ReadOnlySequence<byte> rest, MessageBatch batch)
    {
        while (!batch.IsFull && !_oversized.IsDone)
        {
            if (_oversized.IsInFrame)
            {
                if (!_oversized.Skip(ref rest))
                {
                    return false;
                }

                continue;
            }

            switch (WebSocketFrame.TryRead(ref rest, _options.MaxMessageBytes, out var frame, _transport.IsDeflating))
            {
                case FrameResult.Incomplete:
                    return false;
                case FrameResult.TooLarge:
                    if (!BeginSkip(frame, batch))
                    {
                        return false;
                    }

                    continue;
                case FrameResult.Violation:
                    End(ConnectionEnd.BrokeProtocol);
                    return false;
            }

            if (!Take(frame, batch))
            {
                return false;
            }
        }

        return true;
    }

    private bool Take(in WebSocketFrame frame, MessageBatch batch)
    {
        switch (frame.Opcode)
        {
            case FrameOpcode.Ping:
                Span<byte> payload = stackalloc byte[(int)frame.MaskedPayload.Length];
                frame.CopyTo(payload);
                Outbox.Send(payload, FrameOpcode.Pong);
                return true;
            case FrameOpcode.Pong:
                return true;
            case FrameOpcode.Close:
                End(ConnectionEnd.Closed);
                return false;
            case FrameOpcode.Binary:
                End(ConnectionEnd.SentBinary);
                return false;
            case FrameOpcode.Continuation when !batch.IsInMessage && !_oversized.IsInMessage:
            case FrameOpcode.Text when batch.IsInMessage || _oversized.IsInMessage:
                End(ConnectionEnd.BrokeProtocol);
                return false;
        }

        if (!_oversized.IsInMessage && batch.OpenLength + frame.MaskedPayload.Length <= _options.MaxMessageBytes)
        {
            batch.Append(frame);
            return !batch.IsLastDeflated || Inflate(batch);
        }

        if (!BeginSkip(frame, batch))
        {
            return false;
        }

        var bytes = frame.MaskedPayload;
        return bytes.IsEmpty || _oversized.Skip(ref bytes);
    }

    private bool BeginSkip(in WebSocketFrame frame, MessageBatch batch)
    {
        switch (_oversized.Begin(frame, batch))
        {
            case SkipResult.Binary:
                End(ConnectionEnd.SentBinary);
                return false;
            case SkipResult.Violation:
                End(ConnectionEnd.BrokeProtocol);
                return false;
            case SkipResult.TooLarge:
                Outbox.SendNotice($"invalid: a message has at most {_options.MaxMessageBytes} bytes, this one has more than {OversizedMessage.MaxBytes}");
                End(ConnectionEnd.MessageTooLarge);
                return false;
            default:
                return true;
        }
    }

    private bool Inflate(MessageBatch batch)
    {
        switch (batch.InflateLast(_options.MaxMessageBytes))
        {
            case FrameResult.TooLarge:
                _oversized.AddInflated(batch.Cut);
                return true;
            case FrameResult.Violation:
                End(ConnectionEnd.BrokenDeflate);
                return false;
            default:
                return true;
        }
    }

    // NIP-01: the pending OKs, then CLOSED for whatever is open, then the end.
    private async Task SayShutdownAsync()
    {
        var started = _clock.GetTimestamp();
        while (Client.PendingOks > 0 && _clock.GetElapsedTime(started) < PendingOkTime)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), CancellationToken.None);
        }

        Client.Auth.RefuseAll(Rejections.ShuttingDown);
        Open.SayClosed(Rejections.ShuttingDown);
        Outbox.SendNotice("the relay is shutting down");
        SendClose(ConnectionEnd.ShuttingDown);
    }

    private void End(ConnectionEnd end)
    {
        if (end.IsViolation())
        {
            _budgets.Charge(Client.AddressPrefix, RelayBudgets.ViolationUnits);
        }

        if (Interlocked.CompareExchange(ref _end, end, ConnectionEnd.None) == ConnectionEnd.None)
        {
            SendClose(end);
        }
    }

    private void SendClose(ConnectionEnd end)
    {
        ushort code = end.CloseCode();
        Outbox.Send([(byte)(code >> 8), (byte)code], FrameOpcode.Close);
    }
}
