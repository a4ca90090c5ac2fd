using Marmot.Protocol.Events;
using Marmot.Relay.Budgets;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>Everything about one EVENT that can be found out without the writer: rules, id, duplicate, signature. The only maker of tickets.</summary>
/// <remarks>Decides nothing that depends on the messages before it, so that the EVENTs of a batch are checked on all cores. Thread-safe.</remarks>
internal sealed class EventCheck(IEventStore store, WritePolicy policy, WritePolicyProgram program, RelayIdentity identity, RelayBudgets budgets)
{
    /// <summary>Checks an event whose shape is known to be good.</summary>
    /// <param name="received">As it came.</param>
    /// <param name="bytes">Size of its message, which its sender pays for.</param>
    /// <param name="sender">Who sent it.</param>
    /// <param name="mayDefer">It came alone: its signature may be checked while the disk is at work.</param>
    public CheckedEvent Check(in NostrEventView received, int bytes, ReplyTarget sender, bool mayDefer)
    {
        // 1. Cheap refusals first. Rules read the event as it is stored, never as it is spelled on the wire.
        var evt = received.AsStored();
        if (!policy.Allows(evt, out var reason) || !policy.AllowsSender(evt, sender.Keys, out reason))
        {
            return CheckedEvent.OfRefused(evt.Id, reason);
        }

        // 2. A known event is not verified again. Its id is checked before, so that an id alone, under other content, tells nobody what is
        //    stored; of a gift wrap (NIP-59) not even its content does, only the whole event.
        if (!EventVerifier.IsIdCorrect(evt))
        {
            return CheckedEvent.OfRefused(evt.Id, Rejections.WrongId);
        }

        if (!KindRules.IsGiftWrap(evt.Kind) && store.IsKnown(evt.Id))
        {
            return CheckedEvent.OfRefused(evt.Id, Rejections.AlreadyStored);
        }

        // 3. The signature, if the address may still cost that much.
        if (!budgets.TryTake(sender.AddressPrefix, RelayBudgets.EventUnits(evt, bytes)))
        {
            return CheckedEvent.OfRefused(evt.Id, Rejections.TooMuchWork);
        }

        if (mayDefer && MayDefer(evt.Kind, sender))
        {
            return CheckedEvent.OfDeferred(EventRecord.Create(evt, vanishesHere: false));
        }

        if (!EventVerifier.IsSignatureCorrect(evt))
        {
            sender.Distrust();
            return CheckedEvent.OfRefused(evt.Id, Rejections.WrongSignature);
        }

        var vanishesHere = evt.Kind == EventKinds.Vanish && identity.IsNamedBy(evt);
        if (evt.Kind == EventKinds.Vanish && !vanishesHere)
        {
            return CheckedEvent.OfRefused(evt.Id, identity.HasOrigin ? Rejections.OtherRelay : Rejections.NoOrigin);
        }

        return CheckedEvent.OfVerified(EventRecord.Create(evt, vanishesHere));
    }

    /// <summary>Checks the signature that was put off, when the event cannot be written at once; about 40 us.</summary>
    /// <returns>False when it is wrong: the sender is not believed any more.</returns>
    public static bool TryComplete(DeferredEvent deferred, ReplyTarget sender, out VerifiedEvent verified)
    {
        if (deferred.Record.IsSignatureCorrect())
        {
            verified = new VerifiedEvent(deferred.Record);
            return true;
        }

        sender.Distrust();
        verified = default;
        return false;
    }

    /// <summary>Whether an event that waits for authentication (NIP-42) would still be refused for want of it; the default value when not.</summary>
    public RejectReason CheckSender(in NostrEventView received, ReplyTarget sender) =>
        policy.AllowsSender(received.AsStored(), sender.Keys, out var reason) ? default : reason;

    // A single event of a connection that proved itself is written first and checked while the disk is at work. Of a gift wrap nobody learns even
    // by the time it takes whether it is stored (NIP-59), and what is not stored has no disk to wait for.
    private bool MayDefer(int kind, ReplyTarget sender) =>
        sender.IsTrusted && store.IsLocal && !program.IsOn && kind != EventKinds.Vanish && !KindRules.IsGiftWrap(kind) && !KindRules.IsEphemeral(kind);
}
