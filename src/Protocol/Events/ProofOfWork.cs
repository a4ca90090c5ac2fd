using System.Buffers.Text;
using System.Globalization;
using System.Numerics;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Events;

/// <summary>NIP-13: the work that an id shows, and the target that its author committed to before. Whether an event without a target counts is for the
/// caller.</summary>
public static class ProofOfWork
{
    /// <summary>Leading zero bits of an id, 0 to 256.</summary>
    public static int LeadingZeroBits(in Bytes32 id)
    {
        var zeros = id.Span.IndexOfAnyExcept((byte)0);
        return zeros < 0 ? Bytes32.Size * 8 : (zeros * 8) + BitOperations.LeadingZeroCount((uint)id.Span[zeros]) - 24;
    }

    /// <summary>The target in the nonce tag, bits; 0 when it is no number, null when there is none.</summary>
    public static int? ReadTarget(in NostrEventView evt)
    {
        foreach (var tag in evt.Tags)
        {
            if (!tag.Name.SequenceEqual("nonce"u8))
            {
                continue;
            }

            var items = tag.Items;
            for (var i = 0; items.MoveNext(); i++)
            {
                if (i == 2)
                {
                    return Utf8Parser.TryParse(items.Current, out int target, out var used) && used == items.Current.Length ? target : 0;
                }
            }
        }

        return null;
    }

    /// <inheritdoc cref="ReadTarget(in NostrEventView)"/>
    public static int? ReadTarget(NostrEvent evt)
    {
        ArgumentNullException.ThrowIfNull(evt);
        foreach (var tag in evt.Tags)
        {
            if (tag is ["nonce", _, var target, ..])
            {
                return int.TryParse(target, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var bits) ? bits : 0;
            }
        }

        return null;
    }
}
