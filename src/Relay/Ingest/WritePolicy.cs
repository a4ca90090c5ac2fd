using System.Buffers.Text;
using System.Numerics;
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
        else if (!EventKinds.IsEphemeral(evt.Kind) && EventRecord.ReadExpiration(evt) <= now)
        {
            reason = Rejections.Expired; // NIP-40
        }
        else if (_moderation.IsKeyBanned(evt.PublicKey) || _moderation.IsEventBanned(evt.Id))
        {
            reason = Rejections.Banned; // NIP-86
        }
        else if (LeadingZeroBits(evt.Id) < _options.MinProofOfWork || CommittedTarget(evt) < _options.MinProofOfWork)
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

        return reason.Prefix is null;
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

        return reason.Prefix is null;
    }

    /// <summary>Seals, Welcomes, push requests and token gossip: whoever publishes one in the clear leaks it (protocol.md 6.1).</summary>
    public static bool IsOnlyEncrypted(int kind) => EventKinds.IsOnlyEncrypted(kind);

    public static bool IsMarmotKind(int kind) =>
        kind is 0 or 3 or 5 or 62 or 443 or EventKinds.GroupEvent or EventKinds.GiftWrap or EventKinds.EphemeralGiftWrap
            or 10002 or 10050 or 10051 or 10063 or 30443 or 24242;

    /// <summary>NIP-13: leading zero bits of the id.</summary>
    public static int LeadingZeroBits(in Bytes32 id)
    {
        var bits = 0;
        foreach (var b in id.Span)
        {
            if (b != 0)
            {
                return bits + BitOperations.LeadingZeroCount(b) - 24;
            }

            bits += 8;
        }

        return bits;
    }

    /// <summary>NIP-13: the target in the nonce tag; an event that was lucky beyond it counts for no more. Without a target any luck counts.</summary>
    private static int CommittedTarget(in NostrEventView evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (tag.Name.SequenceEqual("nonce"u8))
            {
                var items = tag.Items;
                for (var i = 0; items.MoveNext(); i++)
                {
                    if (i == 2)
                    {
                        return Utf8Parser.TryParse(items.Current, out int target, out var used) && used == items.Current.Length ? target : 0;
                    }
                }
            }
        }

        return int.MaxValue;
    }

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
