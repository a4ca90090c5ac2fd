using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>NIP-59: a gift wrap is for the keys in its <c>p</c> tags and nobody else.</summary>
internal static class GiftWrapAccess
{
    public static bool IsFor(in NostrEventView wrap, in Bytes32 key)
    {
        foreach (var tag in wrap.Tags)
        {
            if (tag.Name.SequenceEqual("p"u8) && Bytes32.TryParseHex(tag.Value, out var recipient) && recipient == key)
            {
                return true;
            }
        }

        return false;
    }

    public static bool MayRead(in NostrEventView evt, ReadScope scope) => MayRead(evt, scope.Keys, scope.GiftWrapsOpen);

    public static bool MayRead(in NostrEventView evt, Bytes32[] keys, bool open)
    {
        if (open || !KindRules.IsGiftWrap(evt.Kind))
        {
            return true;
        }

        foreach (var key in keys)
        {
            if (IsFor(evt, key))
            {
                return true;
            }
        }

        return false;
    }
}
