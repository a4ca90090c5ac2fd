using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8004: where the group's events go. Immutable and thread-safe.</summary>
public sealed class NostrRouting
{
    /// <summary>Most relays.</summary>
    public const int MaxRelays = 16;

    /// <summary>Longest relay URL in bytes.</summary>
    public const int MaxUrlSize = 512;

    private NostrRouting(in Bytes32 nostrGroupId, string[] relays) => (NostrGroupId, Relays) = (nostrGroupId, relays);

    /// <summary>The public routing id, the <c>h</c> tag; not the MLS group id.</summary>
    public Bytes32 NostrGroupId { get; }

    /// <summary>The relays, ascending by bytes; 1 to <see cref="MaxRelays"/>. As written: they are compared byte for byte.</summary>
    public IReadOnlyList<string> Relays { get; }

    /// <summary>This id and these relays in order; one that occurs twice counts once.</summary>
    /// <exception cref="ArgumentException">None, too many, or one that is no relay URL.</exception>
    public static NostrRouting Of(in Bytes32 nostrGroupId, IEnumerable<string> relays)
    {
        string[] sorted = [.. relays.Distinct(StringComparer.Ordinal).Order(Utf8Order)];
        return sorted.Length is > 0 and <= MaxRelays && Array.TrueForAll(sorted, IsRelayUrl)
            ? new NostrRouting(nostrGroupId, sorted)
            : throw new ArgumentException("1 to 16 ws or wss URLs of at most 512 bytes", nameof(relays));
    }

    /// <summary>Reads a body: relays strictly ascending by bytes.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out NostrRouting? routing, out RejectReason reason)
    {
        routing = null;
        reason = RejectReason.Invalid("the routing is malformed, or its relays are none, too many, not ascending or no relay URLs");
        var cursor = new VectorCursor(body);
        var id = cursor.Take(Bytes32.Size);
        var list = new VectorCursor(cursor.TakeVector());
        if (cursor.Failed || !cursor.AtEnd)
        {
            return false;
        }

        var relays = new List<string>();
        ReadOnlySpan<byte> last = default;
        while (!list.AtEnd)
        {
            var bytes = list.TakeVector();
            string url = list.Text(bytes);
            if (list.Failed || relays.Count == MaxRelays || !IsRelayUrl(url) || (relays.Count > 0 && last.SequenceCompareTo(bytes) >= 0))
            {
                return false;
            }

            relays.Add(url);
            last = bytes;
        }

        if (relays.Count == 0)
        {
            return false;
        }

        routing = new NostrRouting(new Bytes32(id), [.. relays]);
        reason = default;
        return true;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes()
    {
        var relays = new VectorWriter();
        foreach (string relay in Relays)
        {
            relays.Text(relay);
        }

        return new VectorWriter().Fixed(NostrGroupId.Span).Vector(relays.Written).ToArray();
    }

    /// <summary>ws or wss with a host, without user and fragment, at most <see cref="MaxUrlSize"/> bytes. Need not be normalised.</summary>
    public static bool IsRelayUrl(string url)
        => System.Text.Encoding.UTF8.GetByteCount(url) <= MaxUrlSize
            && HostName.TryReadUrl(url, out var uri, out _)
            && uri.Scheme is "ws" or "wss"
            && !url.Contains('#', StringComparison.Ordinal)
            && uri.UserInfo.Length == 0
            && !Authority(url).Contains('@');

    private static ReadOnlySpan<char> Authority(string url)
    {
        var rest = url.AsSpan(url.IndexOf(':', StringComparison.Ordinal) + 1).TrimStart('/');
        int end = rest.IndexOfAny('/', '?');
        return end < 0 ? rest : rest[..end];
    }

    private static readonly Comparer<string> Utf8Order = Comparer<string>.Create(
        (a, b) => System.Text.Encoding.UTF8.GetBytes(a).AsSpan().SequenceCompareTo(System.Text.Encoding.UTF8.GetBytes(b)));
}
