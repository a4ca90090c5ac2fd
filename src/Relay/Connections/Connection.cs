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
internal sealed class Connection : IDisposable
{
    private const ushort NormalClosure = 1000;
    internal const string ShuttingDown = "shutting down";
    private static readonly TimeSpan MinHold = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxHold = TimeSpan.FromSeconds(2); // short of what a client takes for a dead connection
    private static readonly TimeSpan PendingOkTime = TimeSpan.FromSeconds(2);
    private readonly ClientTransport _transport;
    private readonly RelayBudgets _budgets;
    private readonly RelayOptions _options;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _ended = new();
    private volatile string? _endReason;
    private long _lastHeard;
    private bool _pinged;
    private readonly AddressShares _shares;
    private readonly AddressShare _share;
    private int _keysAsked; // IsMemberUnknown's own
    private bool _isDisposed; // under the lock of _share
    private long _inputBytes; // the read loop's own
    private OversizedMessage? _tooLarge; // the message that is passed over; with what follows the read loop's own
    private long _tooLargeRest; // bytes still to come of the frame at hand
    private long _tooLargeFrame; // bytes of that frame
    private uint _tooLargeMask;
    private bool _tooLargeIsLast; // no frame of that message comes after it
    private bool _tooLargeIsDeflated;
    private OversizedMessage? _refused; // passed over, and to be answered after the messages before it
    private long _messageSince; // when the message began to arrive that is not whole; 0 while there is none

    /// <remarks>The place (<paramref name="share"/>) is given back when the connection is disposed.</remarks>
    public Connection(
        ClientTransport transport,
        AddressShare share,
        AddressShares shares,
        string challenge,
        RelayBudgets budgets,
        WorkTurns turns,
        OutboxMemory memory,
        AuthWaitMemory authMemory,
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
        var waits = options.AuthWait == TimeSpan.Zero
            ? null : new AuthWaits(authMemory, options.MaxMessageBytes, options.AuthWait, clock, transport.Input.CancelPendingRead);
        var auth = new Authentication(outbox, challenge, transport.RelayUrl, waits, clock);
        var turn = new WorkTurn(turns, budgets.LaneOf(share.Prefix));
        Client = new ReplyTarget(outbox, auth, turn, budgets, new EventBudget(clock, options.MaxEventsPerSecond), Drop, () => End(1007, "sent text that is not UTF-8"))
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

    /// <summary>Its client proved a key that is known here (<see cref="AddressShares.TryAdmitMember"/>); the loop of <see cref="ConnectionSet"/> alone sets it.</summary>
    public bool IsMember { get; private set; }

    /// <summary>Why it ended, once it did.</summary>
    public string EndReason => _endReason ?? "closed";

    /// <summary>Serves the client until it leaves or is dropped.</summary>
    public async Task RunAsync(MessageDispatch dispatch, CancellationToken shutdown)
    {
        using var registration = shutdown.UnsafeRegister(static state => ((Connection)state!).Drop(ShuttingDown), this);
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

                // What an address sends costs it as it arrives, whatever it is; one that has spent its budget is read from slowly.
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

                    if (_refused is { } refused)
                    {
                        _refused = null;
                        dispatch.RefuseTooLarge(Open, refused);
                    }

                    Watch(rest.Length + batch.OpenLength + (_tooLarge is null ? 0 : 1), isNew: count > 0);
                    more &= _endReason is null;
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
                if (read.IsCompleted || _endReason is not null)
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
            _endReason ??= "went away";
        }
        finally
        {
            Interlocked.CompareExchange(ref _endReason, "closed", null); // nobody drops it any more
            if (_endReason == ShuttingDown)
            {
                await SayShutdownAsync();
            }

            // A close frame and what stands before it get a moment; a reader that does not read gets none.
            if (_endReason is { } reason && reason is not ("went away" or "reads too slowly"))
            {
                using var moment = new CancellationTokenSource(TimeSpan.FromSeconds(1), _clock);
                await Outbox.WaitAsync(0, moment.Token).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }

            Client.Auth.Dispose();
            Outbox.Close();
            await _transport.CloseAsync();
            Outbox.Release();
        }
    }

    /// <summary>Ends the connection from any thread; the reason goes to the client only when it still reads.</summary>
    public void Drop(string reason)
    {
        if (Interlocked.CompareExchange(ref _endReason, reason, null) is not null)
        {
            return;
        }

        if (reason is "reads too slowly" or "went away")
        {
            _transport.Abort();
        }

        _ = _ended.CancelAsync(); // what waits for it ends on a thread of its own, not inside the caller's locks
    }

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
            Drop("went away");
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

    /// <summary>Its client has proved a key more since this was last asked: whether it is a member's is to be found out. For the loop of <see cref="ConnectionSet"/>.</summary>
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
            End(1008, "held too much input");
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
        if (Interlocked.CompareExchange(ref _endReason, "sent a message too slowly", null) is null)
        {
            _budgets.Charge(Client.AddressPrefix, RelayBudgets.ViolationUnits);
            SendClose(1008);
            _ = _ended.CancelAsync();
        }
    }

    private Outbox Outbox => Client.Outbox;

    private Task HoldAsync(TimeSpan wait) =>
        _transport.HoldAsync(TimeSpan.FromTicks(Math.Clamp(wait.Ticks, MinHold.Ticks, MaxHold.Ticks)), _clock, _ended.Token);

    // Takes frames until the bytes or the batch are used up; true when there may be more in the same bytes.
    private bool ReadFrames(ref ReadOnlySequence<byte> rest, MessageBatch batch)
    {
        while (!batch.IsFull && _refused is null)
        {
            if (_tooLargeRest > 0)
            {
                if (!PassOver(ref rest))
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
                    if (!BeginPassingOver(frame, batch))
                    {
                        return false;
                    }

                    continue;
                case FrameResult.Violation:
                    End(1002, "broke the WebSocket protocol");
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
                End(NormalClosure, "closed");
                return false;
            case FrameOpcode.Binary:
                End(1003, "sent binary data"); // Nostr messages are text
                return false;
            case FrameOpcode.Continuation when !IsInMessage(batch):
            case FrameOpcode.Text when IsInMessage(batch):
                End(1002, "broke the WebSocket protocol");
                return false;
        }

        if (_tooLarge is null && batch.OpenLength + frame.MaskedPayload.Length <= _options.MaxMessageBytes)
        {
            batch.Append(frame);
            return !batch.IsLastDeflated || Inflate(batch);
        }

        if (!BeginPassingOver(frame, batch))
        {
            return false;
        }

        var bytes = frame.MaskedPayload;
        return bytes.IsEmpty || PassOver(ref bytes);
    }

    private bool IsInMessage(MessageBatch batch) => batch.IsInMessage || _tooLarge is not null;

    // A message over the limit costs itself, not the connection: its bytes are read for the id that the answer needs, and dropped.
    private bool BeginPassingOver(in WebSocketFrame frame, MessageBatch batch)
    {
        if (frame.Opcode == FrameOpcode.Binary)
        {
            End(1003, "sent binary data");
            return false;
        }

        if (IsInMessage(batch) != (frame.Opcode == FrameOpcode.Continuation))
        {
            End(1002, "broke the WebSocket protocol");
            return false;
        }

        if (_tooLarge is null)
        {
            _tooLarge = new OversizedMessage();
            _tooLargeIsDeflated = frame.IsDeflated || batch.IsOpenDeflated;
            ReadTooLarge(batch.TakeOpen());
        }

        if (_tooLarge.Length + frame.Length > OversizedMessage.MaxBytes)
        {
            Outbox.SendNotice($"invalid: a message has at most {_options.MaxMessageBytes} bytes, this one has more than {OversizedMessage.MaxBytes}");
            End(1009, "message too large");
            return false;
        }

        (_tooLargeRest, _tooLargeFrame, _tooLargeMask, _tooLargeIsLast) = (frame.Length, frame.Length, frame.Mask, frame.IsFinal);
        if (frame.Length == 0)
        {
            EndPassingOver();
        }

        return true;
    }

    // False when more bytes have to come.
    private bool PassOver(ref ReadOnlySequence<byte> rest)
    {
        Span<byte> piece = stackalloc byte[4096];
        while (_tooLargeRest > 0 && !rest.IsEmpty)
        {
            var taken = piece[..(int)Math.Min(piece.Length, Math.Min(_tooLargeRest, rest.Length))];
            rest.Slice(0, taken.Length).CopyTo(taken);
            WebSocketFrame.Unmask(taken, _tooLargeMask, _tooLargeFrame - _tooLargeRest);
            ReadTooLarge(taken);
            _tooLargeRest -= taken.Length;
            rest = rest.Slice(taken.Length);
        }

        if (_tooLargeRest > 0)
        {
            return false;
        }

        EndPassingOver();
        return true;
    }

    // What is compressed tells nothing before it is whole, and is not inflated then.
    private void ReadTooLarge(ReadOnlySpan<byte> bytes) => _tooLarge!.Read(bytes, isReadable: !_tooLargeIsDeflated);

    private void EndPassingOver()
    {
        if (_tooLargeIsLast)
        {
            (_refused, _tooLarge) = (_tooLarge, null);
        }
    }

    private bool Inflate(MessageBatch batch)
    {
        switch (batch.InflateLast(_options.MaxMessageBytes))
        {
            case FrameResult.TooLarge:
                _refused = new OversizedMessage();
                _refused.Read(batch.Cut, isReadable: true);
                return true;
            case FrameResult.Violation:
                End(1007, "sent broken DEFLATE data");
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
        SendClose(1001);
    }

    private void End(ushort code, string reason)
    {
        if (code != NormalClosure)
        {
            _budgets.Charge(Client.AddressPrefix, RelayBudgets.ViolationUnits);
        }

        if (Interlocked.CompareExchange(ref _endReason, reason, null) is null)
        {
            SendClose(code);
        }
    }

    private void SendClose(ushort code) => Outbox.Send([(byte)(code >> 8), (byte)code], FrameOpcode.Close);
}
