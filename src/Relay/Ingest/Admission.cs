using Marmot.Hosting.Callers;
using Marmot.Protocol.Events;
using Marmot.Relay.Budgets;
using Marmot.Relay.Live;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>Takes a checked EVENT in, or answers why not: budgets, the operator's program, then the writer or, for an ephemeral event, those who
/// listen.</summary>
internal sealed class Admission(
    IEventStore store,
    WritePolicyProgram program,
    EventWriterLoop writer,
    ILiveFeed feed,
    RelayBudgets budgets,
    RelayMetrics metrics)
{
    /// <param name="evt">What <see cref="EventCheck"/> found.</param>
    /// <param name="sender">Who sent it.</param>
    /// <param name="alone">It came alone: it may be written on this thread.</param>
    /// <param name="cancel">Ends the wait for the writer.</param>
    public ValueTask AdmitAsync(in CheckedEvent evt, ReplyTarget sender, bool alone, CancellationToken cancel)
    {
        if (evt.Record is not { } record)
        {
            Refuse(evt, sender);
            return default;
        }

        if (!sender.Budget.TryTake())
        {
            Refuse(CheckedEvent.OfRefused(evt.Id, Rejections.TooFast), sender);
            return default;
        }

        if (!MayFill(record, sender.AddressPrefix))
        {
            Refuse(CheckedEvent.OfRefused(evt.Id, Rejections.TargetTooFast), sender);
            return default;
        }

        if (evt.TryGetDeferred(out var deferred))
        {
            return writer.TryWriteDeferred(deferred, sender) ? default : CompleteAndSubmitAsync(deferred, sender, cancel);
        }

        evt.TryGetVerified(out var verified);
        if (program.IsOn)
        {
            return AskAndAcceptAsync(verified, sender, cancel);
        }

        return alone && !record.VanishesHere && !KindRules.IsEphemeral(record.Kind) && writer.TryWrite(verified, sender)
            ? default : AcceptAsync(verified, sender, cancel);
    }

    private void Refuse(in CheckedEvent evt, ReplyTarget sender)
    {
        var duplicate = evt.Reason.Prefix == RejectPrefix.Duplicate;
        if (duplicate)
        {
            metrics.Judged(StoreVerdict.Duplicate);
        }
        else
        {
            metrics.Refused(evt.Reason.Prefix);
        }

        sender.Outbox.SendOk(evt.Id, duplicate, evt.Reason);
    }

    private ValueTask AcceptAsync(VerifiedEvent evt, ReplyTarget sender, CancellationToken cancel) =>
        evt.Record.VanishesHere ? VanishAsync(evt, sender, cancel)
        : KindRules.IsEphemeral(evt.Record.Kind) ? PassOnAsync(evt.Record, sender, cancel)
        : writer.SubmitAsync(evt, sender, cancel);

    // Somebody else writes: the signature is checked after all, in a turn, as any other.
    private async ValueTask CompleteAndSubmitAsync(DeferredEvent evt, ReplyTarget sender, CancellationToken cancel)
    {
        await sender.Turn.EnterAsync();
        var isCorrect = EventCheck.TryComplete(evt, sender, out var verified);
        sender.Turn.Leave();
        if (isCorrect)
        {
            await writer.SubmitAsync(verified, sender, cancel);
        }
        else
        {
            Refuse(CheckedEvent.OfRefused(evt.Record.Id, Rejections.WrongSignature), sender);
        }
    }

    // NIP-62: all that the key wrote and was sent goes before the request is stored, few at a time, since nobody's event is written meanwhile; what comes in
    // between goes with the request itself. Who asks pays for each.
    private async ValueTask VanishAsync(VerifiedEvent evt, ReplyTarget sender, CancellationToken cancel)
    {
        var removedUpTo = 0UL;
        try
        {
            var request = new VanishRequest(store, evt.Record, await store.ReadMarkAsync(cancel));
            while (await FindAsync(request, sender, cancel) is { Count: > 0 } found)
            {
                budgets.Charge(sender.AddressPrefix, RelayBudgets.VanishUnits * found.Count);
                await writer.RemoveAsync(found, cancel);
            }

            removedUpTo = request.CompleteUpTo;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The store does not answer: the write will say so.
        }

        await writer.SubmitAsync(evt, sender, cancel, removedUpTo);
    }

    private async ValueTask<IReadOnlyList<StoredKey>> FindAsync(VanishRequest request, ReplyTarget sender, CancellationToken cancel)
    {
        await sender.Turn.EnterAsync();
        var scope = ReadScope.Everything(long.MinValue) with { Turn = sender.Turn }; // what has expired too
        try
        {
            return await request.FindMoreAsync(scope, cancel);
        }
        finally
        {
            budgets.Charge(sender.AddressPrefix, scope.Work);
            sender.Turn.Leave();
        }
    }

    private async ValueTask AskAndAcceptAsync(VerifiedEvent evt, ReplyTarget sender, CancellationToken cancel)
    {
        var (action, reason) = await program.AskAsync(evt.Record, sender.Address, sender.Keys, cancel);
        switch (action)
        {
            case PolicyAction.Accept:
                await AcceptAsync(evt, sender, cancel);
                break;
            case PolicyAction.ShadowReject:
                sender.Outbox.SendOk(evt.Record.Id);
                break;
            default:
                metrics.Refused(RejectPrefix.Blocked);
                sender.Outbox.SendOk(evt.Record.Id, accepted: false, reason);
                break;
        }
    }

    // The budget of each group a group event names and of each recipient of a wrap.
    private bool MayFill(EventRecord record, AddressPrefix? sender)
    {
        var letter = record.Kind == EventKinds.GroupEvent ? (byte)'h' : KindRules.IsGiftWrap(record.Kind) ? (byte)'p' : (byte)0;
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
    private async ValueTask PassOnAsync(EventRecord record, ReplyTarget sender, CancellationToken cancel)
    {
        if (!feed.HasAllListeners)
        {
            await feed.PublishAsync(new LiveEvent(record, Arrival: 0), cancel);
            sender.Outbox.SendOk(record.Id);
            return;
        }

        sender.BeginOk();
        await feed.PublishAsync(new LiveEvent(record, Arrival: 0) { Heard = listeners => AnswerEphemeral(sender, record, listeners) }, cancel);
    }

    private void AnswerEphemeral(ReplyTarget sender, EventRecord record, int listeners)
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
        sender.EndOk();
    }
}
