using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>A single-letter tag as the table of tags knows it: the 33 bytes of <see cref="TagKey.ToExact"/>, so that SQL alone decides a match.</summary>
internal static class PostgresTagKey
{
    public static byte[] FromText(char letter, string value) => TagKey.FromText(letter, value).ToExact();

    public static byte[] FromKey(char letter, in Bytes32 key) => TagKey.FromKey(letter, key).ToExact();

    /// <summary>The distinct keys of an event.</summary>
    public static List<byte[]> ReadAll(in NostrEventView view)
    {
        var keys = new List<byte[]>();
        HashSet<(byte, Bytes32)>? seen = null;
        foreach (var tag in view.Tags)
        {
            if (TagKey.TryCreate(tag, out var key) && key.ToExact() is var exact && (seen ??= []).Add((exact[0], new Bytes32(exact.AsSpan(1)))))
            {
                keys.Add(exact);
            }
        }

        return keys;
    }
}
