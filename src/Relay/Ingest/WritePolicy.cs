using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Ingest;

/// <summary>What the relay takes: rules that need the event alone, asked before any signature check, and rules about who sends it.</summary>
/// <remarks>Tags are read as the event is stored (<see cref="NostrEventView.AsStored"/>), never as they are spelled on the wire.</remarks>
internal sealed class WritePolicy
{
    private const int Repost = 6; // NIP-18
    private const int GenericRepost = 16; // NIP-18
    private readonly RelayOptions _options;
    private readonly TimeProvider _clock;
    private readonly Bytes32[] _allowed;
    private readonly Bytes32[] _operators;
    private readonly Moderation _moderation;
    private readonly AllowList _allowList;

    public WritePolicy(IOptions<RelayOptions> options, Moderation moderation, AllowList allowList, TimeProvider clock)
    {
        _allowList = allowList;
        _moderation = moderation;
        _options = options.Value;
        _clock = clock;
        _allowed = [.. _options.WriteAllowList.Select(Bytes32.ParseHex)];
        _operators = [.. _options.Admins.Append(_options.PublicKey).Where(key => key.Length > 0).Select(Bytes32.ParseHex)];
    }

    /// <summary>The event alone; cheapest rules first.</summary>
    public bool Allows(in NostrEventView evt, out RejectReason reason)
    {
        var now = _clock.GetUtcNow().ToUnixTimeSeconds();
        reason = default;
        if (evt.Kind == EventKinds.RelayAuth)
        {
            reason = Rejections.AuthAsEvent; // NIP-42: never stored, never broadcast
        }
        else if (!_moderation.IsKnown)
        {
            reason = Rejections.NotReached;
        }
        else if (IsOnlyEncrypted(evt.Kind))
        {
            reason = Rejections.OnlyEncrypted;
        }
        else if ((_options.Kinds == RelayKinds.Marmot && !IsMarmotKind(evt.Kind) && !_moderation.State.AllowedKinds.Contains(evt.Kind))
            || _moderation.State.DisallowedKinds.Contains(evt.Kind))
        {
            reason = Rejections.KindNotTaken;
        }
        else if (evt.CreatedAt > now + (long)_options.MaxFuture.TotalSeconds)
        {
            reason = Rejections.TooNew;
        }
        else if (evt.Kind == EventKinds.GroupEvent && !HasOneGroup(evt))
        {
            reason = Rejections.NotOneGroup; // MIP-03
        }
        else if (!KindRules.IsEphemeral(evt.Kind) && EventRecord.ReadExpiration(evt) <= now)
        {
            reason = Rejections.Expired; // NIP-40
        }
        else if (_moderation.IsKeyBanned(evt.PublicKey) || _moderation.IsEventBanned(evt.Id))
        {
            reason = Rejections.Banned; // NIP-86
        }
        else if (ProofOfWork.LeadingZeroBits(evt.Id) < _options.MinProofOfWork
            || (ProofOfWork.ReadTarget(evt) ?? int.MaxValue) < _options.MinProofOfWork) // an event that was lucky beyond its target counts for no more
        {
            reason = RejectReason.ProofOfWork($"{_options.MinProofOfWork} leading zero bits are needed, and no smaller target in the nonce tag"); // NIP-13
        }
        else if (CountTags(evt) is var tags && tags > _options.MaxTags)
        {
            reason = RejectReason.Invalid($"an event has at most {_options.MaxTags} tags, this one has {tags}");
        }
        else if (evt.Kind is Repost or GenericRepost && EmbedsProtected(evt))
        {
            reason = Rejections.RepostOfProtected; // NIP-70
        }

        return reason.IsNone;
    }

    /// <summary>Who sends it: protected events (NIP-70), the allow list, and the clock window of group events, which does not hold for the operator's
    /// keys.</summary>
    public bool AllowsSender(in NostrEventView evt, Bytes32[] keys, out RejectReason reason)
    {
        reason = default;
        if (IsProtected(evt) && Array.IndexOf(keys, evt.PublicKey) < 0)
        {
            reason = keys.Length == 0 ? Rejections.ProtectedNeedsAuth : Rejections.ProtectedForeign;
        }
        else if ((_allowed.Length > 0 || _allowList.IsSet) && !keys.Any(key => Array.IndexOf(_allowed, key) >= 0 || _allowList.Contains(key)))
        {
            reason = keys.Length == 0 ? Rejections.WriteNeedsAuth : Rejections.WriteNotAllowed;
        }
        else if (evt.Kind == EventKinds.GroupEvent && _options.GroupEventClockSkew > TimeSpan.Zero
            && Math.Abs(evt.CreatedAt - _clock.GetUtcNow().ToUnixTimeSeconds()) > (long)_options.GroupEventClockSkew.TotalSeconds
            && !Array.Exists(keys, key => Array.IndexOf(_operators, key) >= 0))
        {
            reason = Rejections.SkewedGroupEvent;
        }

        return reason.IsNone;
    }

    /// <summary>Seals, Welcomes, push requests and token gossip: whoever publishes one in the clear leaks it.</summary>
    public static bool IsOnlyEncrypted(int kind) => KindRules.IsOnlyEncrypted(kind);

    public static bool IsMarmotKind(int kind) =>
        kind is EventKinds.Profile or EventKinds.Follows or EventKinds.Deletion or EventKinds.Vanish
            or EventKinds.LegacyKeyPackage or EventKinds.KeyPackage or EventKinds.GroupEvent or EventKinds.GiftWrap or EventKinds.EphemeralGiftWrap
            or EventKinds.RelayList or EventKinds.InboxRelays or EventKinds.KeyPackageRelays or EventKinds.BlobServers or EventKinds.BlossomAuth;

    private static bool IsProtected(in NostrEventView evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("-"u8))
            {
                return true;
            }
        }

        return false;
    }

    // MIP-03: a group event names its group in one h tag; with two, which subscribers get it would be for clients to guess.
    private static bool HasOneGroup(in NostrEventView evt)
    {
        var count = 0;
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("h"u8))
            {
                count += tag.Value.IsEmpty ? 2 : 1;
            }
        }

        return count == 1;
    }

    // NIP-18: the reposted event as JSON in the content.
    private static bool EmbedsProtected(in NostrEventView evt) =>
        !evt.RawContent.IsEmpty
        && NostrEventReader.TryRead(System.Text.Encoding.UTF8.GetBytes(evt.ReadContent()), out var embedded, out _)
        && IsProtected(embedded.AsStored());

    private static int CountTags(in NostrEventView evt)
    {
        var count = 0;
        foreach (var _ in evt.Tags)
        {
            count++;
        }

        return count;
    }
}
