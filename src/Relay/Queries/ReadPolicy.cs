using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Queries;

/// <summary>What a connection may ask for (NIP-42, NIP-50, NIP-59). Wraps inside wider filters are left out silently; a filter that asks for nothing else is
/// refused.</summary>
internal static class ReadPolicy
{
    public static bool Allows(Filter[] filters, Bytes32[] keys, bool wrapsOpen, bool searches, out RejectReason reason)
    {
        reason = !searches && Array.Exists(filters, filter => filter.Search is not null) ? Rejections.NoSearch : default;
        if (!reason.IsNone)
        {
            return false;
        }

        if (wrapsOpen)
        {
            return true;
        }

        foreach (var filter in filters)
        {
            if (filter.Kinds is not { Length: > 0 } kinds || !Array.TrueForAll(kinds, KindRules.IsGiftWrap))
            {
                continue;
            }

            if (keys.Length == 0)
            {
                reason = Rejections.WrapsNeedAuth;
                return false;
            }

            if (filter.Tags.TryGetValue('p', out var recipients)
                && !Array.Exists(recipients, text => Bytes32.TryParseHex(text.AsSpan(), out var key) && Array.IndexOf(keys, key) >= 0))
            {
                reason = Rejections.WrapsForeign;
                return false;
            }
        }

        return true;
    }
}
