using System.Buffers;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Ingest;
using Marmot.Relay.Live;
using Marmot.Relay.Queries;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Connections;

/// <summary>One client: reads frames, gathers the whole messages of a read into a batch, hands it to the ingester, and starts over.</summary>
/// <remarks>The read loop owns everything here but the outbox. An idle connection holds no buffer.</remarks>
internal sealed class Connection : IDisposable
{
    private const int MaxKeys = 32;
    private const ushort NormalClosure = 1000;
    internal const string ShuttingDown = "shutting down";
    private static readonly TimeSpan MinHold = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxHold = TimeSpan.FromSeconds(2); // short of what a client takes for a dead connection
    private static readonly TimeSpan FarewellTime = TimeSpan.FromSeconds(2);
    private readonly ClientTransport _transport;
    private readonly RelayBudgets _budgets;
    private readonly RelayOptions _options;
    private readonly TimeProvider _clock;
    private readonly string _challenge;
    private readonly AuthWaitMemory _authMemory;
    private readonly CancellationTokenSource _ended = new();
    private volatile Bytes32[] _keys = [];
    private volatile string? _endReason;
    private AuthWaits? _waits; // the read loop's own
    private long _lastHeard;
    private bool _pinged;
    private int _unanswered;
    private int _trust; // 1 trusted, -1 never again
    private readonly AddressShares _shares;
    private readonly AddressShare _share;
    private int _keysAsked; // IsMemberUnknown's own
    private bool _isDisposed; // under the lock of _share
    private long _filterBytes; // the read loop's own
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
        _authMemory = authMemory;
        _shares = shares;
        _share = share;
        AddressPrefix = share.Prefix;
        Turn = new WorkTurn(turns, budgets.LaneOf(AddressPrefix));
        _transport = transport;
        _challenge = challenge;
        _options = options;
        _clock = clock;
        _lastHeard = clock.GetTimestamp();
        Outbox = new Outbox(transport.Output, memory, options.MaxOutboxBytes, options.WriteTimeout, Drop, transport.Socket);
        Budget = new EventBudget(clock, options.MaxEventsPerSecond);
    }

    /// <summary>Its place among the connections of a round of deliveries; the loop of <see cref="FanOut"/> alone uses it.</summary>
    public (ulong Round, int Index) DeliveryPlace;

    public Outbox Outbox { get; }

    /// <summary>Its turns at the cores, for its read loop alone.</summary>
    public WorkTurn Turn { get; }

    public EventBudget Budget { get; }

    /// <summary>What is compressed for this client: nothing unless permessage-deflate was agreed on.</summary>
    public RelayCompression Compression => _transport.IsDeflating ? _options.Compression : RelayCompression.Off;

    /// <summary>Where it comes from; for the operator's own program only, never logged.</summary>
    public System.Net.IPAddress? Address => _transport.Address;

    /// <summary>Whose work budget it uses; null when it is not counted. In memory only, never logged.</summary>
    public AddressPrefix? AddressPrefix { get; }

    /// <summary>Its client proved a key that is known here (<see cref="AddressShares.TryAdmitMember"/>); the loop of <see cref="ConnectionSet"/> alone sets it.</summary>
    public bool IsMember { get; private set; }

    /// <summary>Open subscriptions by id; the read loop's own.</summary>
    public Dictionary<string, Subscription> Subscriptions { get; } = new(StringComparer.Ordinal);

    /// <summary>Open reconciliations by id (NIP-77); the read loop's own, null while there is none.</summary>
    public Dictionary<string, Sync>? Syncs { get; set; }

    /// <summary>The keys this connection proved (NIP-42); replaced, never changed in place.</summary>
    public Bytes32[] Keys => _keys;

    /// <summary>Why it ended, once it did.</summary>
    public string EndReason => _endReason ?? "closed";

    /// <summary>Serves the client until it leaves or is dropped.</summary>
    public async Task RunAsync(Ingester ingester, CancellationToken shutdown)
    {
        using var registration = shutdown.UnsafeRegister(static state => ((Connection)state!).Drop(ShuttingDown), this);
        Outbox.SendHandshake(_transport.Handshake);
        if (_options.AuthOnConnect)
        {
            SendChallenge();
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
                    RefuseExpired(); // the timer of AuthWaits, nothing was heard
                }
                else
                {
                    Volatile.Write(ref _lastHeard, _clock.GetTimestamp());
                    _pinged = false;
                }

                // What an address sends costs it as it arrives, whatever it is; one that has spent its budget is read from slowly.
                var wait = _budgets.Charge(AddressPrefix, RelayBudgets.ReadUnitsOf(rest.Length - unread));
                bool more;
                do
                {
                    more = ReadFrames(ref rest, batch);
                    var count = batch.Count;
                    var units = RelayBudgets.MessageUnitsOf(count, batch.TakeInflatedBytes());
                    if (count > 0)
                    {
                        await ingester.HandleAsync(this, batch, _ended.Token);
                        batch.Clear();
                        wait = _budgets.Charge(AddressPrefix, units);
                    }

                    if (_refused is { } refused)
                    {
                        _refused = null;
                        ingester.RefuseTooLarge(this, refused);
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
                await SayFarewellAsync();
            }

            // A close frame and what stands before it get a moment; a reader that does not read gets none.
            if (_endReason is { } reason && reason is not ("went away" or "reads too slowly"))
            {
                using var moment = new CancellationTokenSource(TimeSpan.FromSeconds(1), _clock);
                await Outbox.WaitAsync(0, moment.Token).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }

            _waits?.Dispose();
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

    /// <summary>NIP-42; several keys may be proved one after another. <see cref="SettleWaitingAsync"/> follows.</summary>
    /// <returns>Whether the key counts as proved.</returns>
    public bool Authenticate(in NostrEventView evt)
    {
        if (_transport.RelayUrl is not { } url)
        {
            Outbox.SendOk(evt.Id, accepted: false, Rejections.NoOrigin);
            return false;
        }

        var verdict = RelayAuth.Check(evt.AsStored(), _challenge, url, _clock.GetUtcNow());
        if (verdict != RelayAuthVerdict.Accepted)
        {
            Outbox.SendOk(evt.Id, accepted: false, RelayAuth.ToReason(verdict));
            return false;
        }

        if (Array.IndexOf(_keys, evt.PublicKey) < 0)
        {
            if (_keys.Length >= MaxKeys)
            {
                Outbox.SendOk(evt.Id, accepted: false, RejectReason.RateLimited("too many keys on one connection"));
                return false;
            }

            _keys = [.. _keys, evt.PublicKey];
        }

        Outbox.SendOk(evt.Id);
        return true;
    }

    /// <summary>Lets a request that needs authentication wait for it; the challenge goes out with the first.</summary>
    /// <returns>False when it has to be refused at once: waiting is off, or too much waits already.</returns>
    public bool TryWait(WaitingRequest request)
    {
        if (_options.AuthWait == TimeSpan.Zero)
        {
            return false;
        }

        _waits ??= new AuthWaits(_authMemory, _options.MaxMessageBytes, _options.AuthWait, _clock, _transport.Input.CancelPendingRead);
        var isFirst = _waits.Count == 0;
        if (!_waits.TryAdd(request))
        {
            return false;
        }

        _budgets.Charge(AddressPrefix, RelayBudgets.RequestUnits);
        if (isFirst)
        {
            SendChallenge();
        }

        return true;
    }

    /// <summary>Ends the waiting of a request; an unknown id is nothing.</summary>
    public void EndWait(ClientMessageKind kind, string id) => _waits?.Remove(kind, id);

    /// <summary>After an AUTH: what may be served now is served. After one that failed, all that waits is refused.</summary>
    public async ValueTask SettleWaitingAsync(bool isAuthenticated, CancellationToken cancel)
    {
        if (_waits is not { Count: > 0 })
        {
            return;
        }

        if (!isAuthenticated)
        {
            _waits.TakeAll().ForEach(request => request.Refuse(request.Check()));
            return;
        }

        foreach (var request in _waits.TakeServable())
        {
            await Turn.EnterAsync();
            try
            {
                await request.Serve(cancel);
            }
            finally
            {
                Turn.Leave();
            }
        }
    }

    /// <summary>OK false; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseEvent(in Bytes32 id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendOk(id, accepted: false, reason);
    }

    /// <summary>CLOSED; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseRequest(string id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendClosed(id, reason);
    }

    /// <summary>NEG-ERR; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseSync(string id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendSyncError(id, reason);
    }

    /// <summary>RFC 6455, 8.1: text that is not UTF-8 ends the connection.</summary>
    public void EndNotUtf8() => End(1007, "sent text that is not UTF-8");

    /// <summary>An event of it was stored, and none came with a wrong signature: its next lone event may be written before its signature is checked.</summary>
    public bool IsTrusted => Volatile.Read(ref _trust) > 0;

    public void Trust() => Interlocked.CompareExchange(ref _trust, 1, 0);

    /// <summary>For good.</summary>
    public void Distrust() => Volatile.Write(ref _trust, -1);

    /// <summary>An event was handed to the writer: its OK is owed.</summary>
    public void Owe() => Interlocked.Increment(ref _unanswered);

    /// <summary>An OK that was owed is sent.</summary>
    public void Settle() => Interlocked.Decrement(ref _unanswered);

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

    /// <summary>Counts the filters of a subscription that is about to be opened; false when the connection, its address or all together hold too much. For the read loop.</summary>
    public bool TryHoldFilters(int bytes)
    {
        if (_filterBytes + bytes > _options.MaxFilterBytes || !_shares.Filters.TryTake(ref _share.FilterBytes, bytes, _share.Part))
        {
            return false;
        }

        _filterBytes += bytes;
        return true;
    }

    /// <summary>After <see cref="TryHoldFilters"/>.</summary>
    public void ReturnFilters(int bytes)
    {
        _filterBytes -= bytes;
        _shares.Filters.Return(ref _share.FilterBytes, bytes);
    }

    /// <summary>Its client has proved a key more since this was last asked: whether it is a member's is to be found out. For the loop of <see cref="ConnectionSet"/>.</summary>
    public bool IsMemberUnknown
    {
        get
        {
            var asked = _keysAsked;
            _keysAsked = _keys.Length;
            return AddressPrefix is not null && !IsMember && _keysAsked > asked;
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
            _budgets.Charge(AddressPrefix, RelayBudgets.ViolationUnits);
            SendClose(1008);
            _ = _ended.CancelAsync();
        }
    }

    private void SendChallenge() => Outbox.SendAuth(_challenge);

    private void ChallengeFor(in RejectReason reason)
    {
        if (reason.Prefix == RejectPrefix.AuthRequired)
        {
            SendChallenge();
        }
    }

    private void RefuseExpired() => _waits?.TakeExpired().ForEach(request => request.Refuse(request.Check()));

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

    // NIP-01: the OKs that are still owed, then CLOSED for whatever is open, then the end.
    private async Task SayFarewellAsync()
    {
        var started = _clock.GetTimestamp();
        while (Volatile.Read(ref _unanswered) > 0 && _clock.GetElapsedTime(started) < FarewellTime)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), CancellationToken.None);
        }

        foreach (var request in _waits?.TakeAll() ?? [])
        {
            request.Refuse(Rejections.ShuttingDown);
        }

        foreach (var id in Subscriptions.Keys)
        {
            Outbox.SendClosed(id, Rejections.ShuttingDown);
        }

        foreach (var id in Syncs?.Keys ?? Enumerable.Empty<string>())
        {
            Outbox.SendSyncError(id, Rejections.ShuttingDown);
        }

        Outbox.SendNotice("the relay is shutting down");
        SendClose(1001);
    }

    private void End(ushort code, string reason)
    {
        if (code != NormalClosure)
        {
            _budgets.Charge(AddressPrefix, RelayBudgets.ViolationUnits);
        }

        if (Interlocked.CompareExchange(ref _endReason, reason, null) is null)
        {
            SendClose(code);
        }
    }

    private void SendClose(ushort code) => Outbox.Send([(byte)(code >> 8), (byte)code], FrameOpcode.Close);
}
