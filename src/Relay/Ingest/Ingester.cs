using System.Text.Unicode;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Connections;
using Marmot.Relay.Live;
using Marmot.Relay.Queries;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Ingest;

/// <summary>Takes the messages of a connection in order and hands each to its room.</summary>
internal sealed class Ingester(
    IEventStore store,
    WritePolicy policy,
    WritePolicyProgram program,
    RelayIdentity identity,
    EventWriterLoop writer,
    ILiveFeed feed,
    Requests requests,
    Syncs syncs,
    RelayBudgets budgets,
    RelayMetrics metrics,
    TimeProvider clock,
    IOptions<RelayOptions> options)
{
    private readonly FilterLimits _limits = new()
    {
        MaxFilters = options.Value.MaxFilters,
        MaxValuesPerList = options.Value.MaxFilterValues,
    };

    /// <summary>Handles what one read of the connection brought; the batch may be cleared afterwards.</summary>
    public async Task HandleAsync(Connection connection, MessageBatch messages, CancellationToken cancel)
    {
        // 1. Verify all EVENTs, on all cores. Nothing is decided here that depends on the messages before it, but for the keys: AUTH
        //    between EVENTs is rare, so a batch that holds one goes message by message.
        if (messages.Count > 1 && !HoldsAuth(messages))
        {
            var verified = new VerificationBatch(messages, connection.Turn, frame => Verify(frame, connection));
            await verified.RunAsync();
            for (var i = 0; i < messages.Count; i++)
            {
                await (verified[i].IsEvent
                    ? AdmitAsync(connection, messages[i], verified[i], cancel)
                    : HandleOfManyAsync(connection, messages[i], cancel));
            }

            return;
        }

        // 2. Else one by one.
        for (var i = 0; i < messages.Count; i++)
        {
            await (messages.Count == 1 ? HandleAsync(connection, messages[i], cancel) : HandleOfManyAsync(connection, messages[i], cancel));
        }
    }

    /// <summary>Everything about one EVENT that can be found out without the writer: shape, rules, duplicate, id, signature.</summary>
    public Verified Verify(ReadOnlySpan<byte> frame, Connection connection)
    {
        if (!ClientMessageReader.TryRead(frame, _limits, out var message, out var reason))
        {
            return message.HasEventId && Utf8.IsValid(frame) ? new Verified(null, message.EventId, reason, IsEvent: true) : default;
        }

        return Verify(message.Event.AsStored(), frame.Length, connection);
    }

    private Verified Verify(in NostrEventView evt, int bytes, Connection connection, bool mayLeaveSignature = false)
    {
        // 1. Cheap refusals first.
        if (!policy.Allows(evt, out var reason) || !policy.AllowsSender(evt, connection.Keys, out reason))
        {
            return new Verified(null, evt.Id, reason, IsEvent: true);
        }

        // 2. A known event is not verified again. Its id is checked before, so that an id alone, under other content, tells nobody what is
        //    stored; of a gift wrap (NIP-59) not even its content does, only the whole event.
        if (!EventVerifier.IsIdCorrect(evt))
        {
            return new Verified(null, evt.Id, Rejections.WrongId, IsEvent: true);
        }

        if (!EventKinds.IsGiftWrap(evt.Kind) && store.IsKnown(evt.Id))
        {
            return new Verified(null, evt.Id, Rejections.AlreadyStored, IsEvent: true);
        }

        // 3. The signature, if the address may still cost that much.
        if (!budgets.TryTake(connection.AddressPrefix, RelayBudgets.EventUnits(evt, bytes)))
        {
            return new Verified(null, evt.Id, Rejections.TooMuchWork, IsEvent: true);
        }

        var isUnchecked = mayLeaveSignature && MayLeaveSignature(evt.Kind, connection);
        if (!isUnchecked && !EventVerifier.IsSignatureCorrect(evt))
        {
            connection.Distrust();
            return new Verified(null, evt.Id, Rejections.WrongSignature, IsEvent: true);
        }

        var vanishesHere = evt.Kind == EventKinds.Vanish && identity.IsNamedBy(evt);
        if (evt.Kind == EventKinds.Vanish && !vanishesHere)
        {
            return new Verified(null, evt.Id, identity.HasOrigin ? Rejections.OtherRelay : Rejections.NoOrigin, IsEvent: true);
        }

        return new Verified(EventRecord.Create(evt, vanishesHere), evt.Id, default, IsEvent: true) { IsUnchecked = isUnchecked };
    }

    // A lone event of a connection that proved itself is written first and checked while the disk is at work. Of a gift wrap nobody learns even
    // by the time it takes whether it is stored (NIP-59), and what is not stored has no disk to wait for.
    private bool MayLeaveSignature(int kind, Connection connection) =>
        connection.IsTrusted && store.IsLocal && !program.IsOn && kind != EventKinds.Vanish && !EventKinds.IsGiftWrap(kind) && !EventKinds.IsEphemeral(kind);

    private ValueTask AdmitAsync(Connection connection, ReadOnlyMemory<byte> frame, Verified verified, CancellationToken cancel, bool alone = false)
    {
        if (verified.Record is not { } record)
        {
            if (verified.Reason.Prefix == RejectPrefix.AuthRequired)
            {
                WaitOrRefuse(connection, frame, verified.Id, verified.Reason);
                return default;
            }

            var duplicate = verified.Reason.Prefix == RejectPrefix.Duplicate;
            if (duplicate)
            {
                metrics.Judged(StoreVerdict.Duplicate);
            }
            else
            {
                metrics.Refused(verified.Reason.Prefix);
            }

            connection.Outbox.SendOk(verified.Id, duplicate, verified.Reason);
            return default;
        }

        if (!connection.Budget.TryTake())
        {
            metrics.Refused(RejectPrefix.RateLimited);
            connection.Outbox.SendOk(verified.Id, accepted: false, Rejections.TooFast);
            return default;
        }

        if (!MayFill(record, connection.AddressPrefix))
        {
            metrics.Refused(RejectPrefix.RateLimited);
            connection.Outbox.SendOk(verified.Id, accepted: false, Rejections.TargetTooFast);
            return default;
        }

        var pending = new PendingEvent(record, connection);
        pending.Write.IsUnchecked = verified.IsUnchecked; // from here on it goes with the event, whichever way that takes
        if (program.IsOn)
        {
            return AskAndAcceptAsync(pending, cancel);
        }

        if (record.VanishesHere)
        {
            return ChargeAndAcceptAsync(pending, cancel);
        }

        return alone ? AcceptAloneAsync(pending, cancel) : AcceptAsync(pending, cancel);
    }

    // NIP-42: from the start, once the client has authenticated; the batch's buffer is another one by then.
    private void WaitOrRefuse(Connection connection, ReadOnlyMemory<byte> frame, Bytes32 id, RejectReason reason)
    {
        var copy = frame.ToArray();
        var request = new WaitingRequest(
            ClientMessageKind.Event,
            Id: "",
            copy.Length,
            Check: () => CheckSender(copy, connection),
            Serve: token => HandleInTurnAsync(connection, copy, token),
            Refuse: why =>
            {
                metrics.Refused(why.Prefix);
                connection.RefuseEvent(id, why);
            });
        if (!connection.TryWait(request))
        {
            request.Refuse(reason);
        }
    }

    private RejectReason CheckSender(ReadOnlySpan<byte> frame, Connection connection) =>
        ClientMessageReader.TryRead(frame, _limits, out var message, out var reason) && policy.AllowsSender(message.Event.AsStored(), connection.Keys, out reason) ? default : reason;

    // NIP-62: the writer removes all that the key wrote and was sent. Who asks pays for each of them, known before it is done.
    private async ValueTask ChargeAndAcceptAsync(PendingEvent pending, CancellationToken cancel)
    {
        var (connection, key) = (pending.Sender, pending.Write.Record.PublicKey);
        await connection.Turn.EnterAsync();
        try
        {
            var scope = ReadScope.Everything(clock.GetUtcNow().ToUnixTimeSeconds()) with { MaxWork = options.Value.MaxQueryWork, Turn = connection.Turn };
            budgets.Charge(connection.AddressPrefix, RelayBudgets.VanishUnits * await VanishRequest.CountAsync(store, key, scope, cancel));
        }
        catch (QueryTooWideException)
        {
            budgets.Charge(connection.AddressPrefix, RelayBudgets.VanishUnits * options.Value.MaxQueryWork);
        }
        catch (IOException)
        {
            // The store does not answer: the write will say so.
        }
        finally
        {
            connection.Turn.Leave();
        }

        await AcceptAsync(pending, cancel);
    }

    private ValueTask AcceptAsync(PendingEvent pending, CancellationToken cancel) =>
        EventKinds.IsEphemeral(pending.Write.Record.Kind) ? PassOnAsync(pending, cancel) : writer.SubmitAsync(pending, cancel);

    private ValueTask AcceptAloneAsync(PendingEvent pending, CancellationToken cancel)
    {
        if (!EventKinds.IsEphemeral(pending.Write.Record.Kind) && writer.TryWriteHere(pending))
        {
            return default;
        }

        return pending.Write.IsUnchecked ? CheckAndSubmitAsync(pending, cancel) : AcceptAsync(pending, cancel);
    }

    // Somebody else writes: the signature is checked after all, in a turn, as any other.
    private async ValueTask CheckAndSubmitAsync(PendingEvent pending, CancellationToken cancel)
    {
        var connection = pending.Sender;
        await connection.Turn.EnterAsync();
        var isCorrect = pending.Write.IsSignatureCorrect();
        connection.Turn.Leave();
        if (isCorrect)
        {
            await writer.SubmitAsync(pending, cancel);
            return;
        }

        connection.Distrust();
        metrics.Refused(Rejections.WrongSignature.Prefix);
        connection.Outbox.SendOk(pending.Write.Record.Id, accepted: false, Rejections.WrongSignature);
    }

    private async ValueTask AskAndAcceptAsync(PendingEvent pending, CancellationToken cancel)
    {
        var (connection, record) = (pending.Sender, pending.Write.Record);
        var (action, reason) = await program.AskAsync(record, connection.Address, connection.Keys, cancel);
        switch (action)
        {
            case PolicyAction.Accept:
                await AcceptAsync(pending, cancel);
                break;
            case PolicyAction.ShadowReject:
                connection.Outbox.SendOk(record.Id);
                break;
            default:
                metrics.Refused(RejectPrefix.Blocked);
                connection.Outbox.SendOk(record.Id, accepted: false, reason);
                break;
        }
    }

    // The budget of each group a group event names and of each recipient of a wrap.
    private bool MayFill(EventRecord record, AddressPrefix? sender)
    {
        var letter = record.Kind == EventKinds.GroupEvent ? (byte)'h' : EventKinds.IsGiftWrap(record.Kind) ? (byte)'p' : (byte)0;
        if (letter != 0)
        {
            foreach (var tag in record.Tags)
            {
                if (tag.Letter == letter && !budgets.TryTakeTarget(tag, sender, RelayBudgets.EventUnits(record)))
                {
                    return false;
                }
            }
        }

        return true;
    }

    // NIP-01: an ephemeral event goes to those who listen now and is not stored. When nobody did its sender is told, unless there are other replicas to ask.
    private async ValueTask PassOnAsync(PendingEvent pending, CancellationToken cancel)
    {
        var (sender, record) = (pending.Sender, pending.Write.Record);
        if (!feed.HasAllListeners)
        {
            await feed.PublishAsync(new LiveEvent(record, Arrival: 0), cancel);
            sender.Outbox.SendOk(record.Id);
            return;
        }

        sender.Owe();
        await feed.PublishAsync(new LiveEvent(record, Arrival: 0) { Heard = listeners => AnswerEphemeral(sender, record, listeners) }, cancel);
    }

    private void AnswerEphemeral(Connection sender, EventRecord record, int listeners)
    {
        if (listeners > 0)
        {
            sender.Outbox.SendOk(record.Id);
        }
        else
        {
            metrics.Refused(Rejections.NobodyListens.Prefix);
            sender.Outbox.SendOk(record.Id, accepted: false, Rejections.NobodyListens);
        }

        sender.Outbox.Flush();
        sender.Settle();
    }

    private ValueTask HandleOfManyAsync(Connection connection, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        connection.Turn.GiveWay();
        return HandleAsync(connection, frame, cancel);
    }

    private async ValueTask HandleAsync(Connection connection, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        await connection.Turn.EnterAsync();
        try
        {
            await HandleInTurnAsync(connection, frame, cancel);
        }
        finally
        {
            connection.Turn.Leave();
        }
    }

    private ValueTask HandleInTurnAsync(Connection connection, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        if (!ClientMessageReader.TryRead(frame.Span, _limits, out var message, out var reason))
        {
            Refuse(connection, frame.Span, message, reason);
            return message.Kind == ClientMessageKind.Auth ? connection.SettleWaitingAsync(isAuthenticated: false, cancel) : default;
        }

        switch (message.Kind)
        {
            case ClientMessageKind.Event:
                var verified = Verify(message.Event.AsStored(), frame.Length, connection, mayLeaveSignature: true);
                connection.Turn.Leave(); // what follows may wait for the writer
                return AdmitAsync(connection, frame, verified, cancel, alone: true);
            case ClientMessageKind.Auth:
                var isAuthenticated = connection.Authenticate(message.Event);
                connection.Turn.Leave(); // each request that waited takes its own
                return connection.SettleWaitingAsync(isAuthenticated, cancel);
            case ClientMessageKind.Req:
                return requests.OpenAsync(connection, message.SubscriptionId!, message.Filters, cancel);
            case ClientMessageKind.Count:
                return requests.CountAsync(connection, message.SubscriptionId!, message.Filters, cancel);
            case ClientMessageKind.Close:
                requests.CloseByClient(connection, message.SubscriptionId!);
                return default;
            case ClientMessageKind.NegOpen:
                return syncs.OpenAsync(connection, message.SubscriptionId!, message.Filters[0], Convert.FromHexString(message.NegentropyHex), cancel);
            case ClientMessageKind.NegMsg:
                syncs.Continue(connection, message.SubscriptionId!, Convert.FromHexString(message.NegentropyHex));
                return default;
            default:
                syncs.Close(connection, message.SubscriptionId!);
                return default;
        }
    }

    /// <summary>Answers a message that is over the size limit, as far as it can be told whose answer that is.</summary>
    public void RefuseTooLarge(Connection connection, OversizedMessage passed)
    {
        var start = passed.Start;
        var max = options.Value.MaxMessageBytes;
        var reason = RejectReason.Invalid(passed.Length > max ? $"a message has at most {max} bytes, this one has {passed.Length}" : $"a message has at most {max} bytes, this one has more");
        ClientMessageReader.TryRead(start, _limits, out var message, out _);
        if (message.Kind is ClientMessageKind.Event or ClientMessageKind.Auth && passed.EventId is { } id)
        {
            metrics.Refused(reason.Prefix);
            connection.Outbox.SendOk(id, accepted: false, reason);
        }
        else
        {
            Refuse(connection, start, message, reason);
        }
    }

    // The answer goes where the client looks for it: OK, CLOSED, NEG-ERR, else NOTICE. What was open under the id of a refused request is not any more.
    private void Refuse(Connection connection, ReadOnlySpan<byte> frame, in ClientMessage message, in RejectReason reason)
    {
        metrics.Refused(reason.Prefix);
        if (!Utf8.IsValid(frame))
        {
            connection.EndNotUtf8();
            return;
        }

        switch (message.Kind)
        {
            case ClientMessageKind.Event or ClientMessageKind.Auth when message.HasEventId:
                connection.Outbox.SendOk(message.EventId, accepted: false, reason);
                break;
            case ClientMessageKind.Req when message.SubscriptionId is { } id:
                requests.Refuse(connection, id, reason);
                break;
            case ClientMessageKind.Count when message.SubscriptionId is { } id:
                Requests.RefuseCount(connection, id, reason);
                break;
            case ClientMessageKind.NegOpen or ClientMessageKind.NegMsg when message.SubscriptionId is { } id:
                syncs.Refuse(connection, id, reason);
                break;
            default:
                connection.Outbox.SendNotice(reason.ToString());
                break;
        }
    }

    private static bool HoldsAuth(MessageBatch messages)
    {
        for (var i = 0; i < messages.Count; i++)
        {
            var frame = messages[i].Span;
            if (frame[..Math.Min(frame.Length, 64)].IndexOf("AUTH"u8) >= 0)
            {
                return true;
            }
        }

        return false;
    }
}
