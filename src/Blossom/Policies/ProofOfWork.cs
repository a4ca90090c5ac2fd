using System.Globalization;
using System.Numerics;
using Marmot.Protocol.Events;

namespace Marmot.Blossom.Policies;

/// <summary>NIP-13: leading zero bits of the event id, as far as the nonce tag committed to them.</summary>
internal static class ProofOfWork
{
    /// <summary>Bits shown and committed to; 0 without a nonce tag. Work beyond the committed target is luck and does not count.</summary>
    public static int BitsOf(NostrEvent evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (tag is ["nonce", _, var target, ..] && int.TryParse(target, NumberStyles.None, CultureInfo.InvariantCulture, out var committed))
            {
                return Math.Min(committed, LeadingZeroBits(evt.Id.Span));
            }
        }

        return 0;
    }

    private static int LeadingZeroBits(ReadOnlySpan<byte> id)
    {
        var zeros = id.IndexOfAnyExcept((byte)0);
        return zeros < 0 ? id.Length * 8 : (zeros * 8) + BitOperations.LeadingZeroCount((uint)id[zeros]) - 24;
    }
}
