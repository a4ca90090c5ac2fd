using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Platform.Native;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Components;

/// <summary>Kind 445 as the adopted profile has it: one <c>h</c> tag, on application messages under retention one <c>expiration</c>, nothing else.</summary>
/// <remarks>The content and its key are those of <see cref="GroupEvent"/>. A fresh key signs each event. Thread-safe.</remarks>
public static class AdoptedGroupEvent
{
    /// <summary>Reads an event; what the MIP profile lets pass (an encoding tag, any other tag, further items) is malformed here.</summary>
    public static bool TryParse(NostrEvent evt, [NotNullWhen(true)] out GroupEvent? group, out RejectReason reason)
    {
        group = null;
        string? fault = Fault(evt);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null && GroupEvent.TryParse(evt, out group, out reason);
    }

    /// <summary>Seals an application message. The event is dated like the event inside, however late it goes out, and under retention says when it is
    /// due.</summary>
    /// <param name="key">Exporter key of the state the message is made in, 32 bytes.</param>
    /// <param name="nostrGroupId">Routing id of that state.</param>
    /// <param name="mlsMessage">A PrivateMessage.</param>
    /// <param name="innerCreatedAt">The <c>created_at</c> of the event inside, Unix seconds.</param>
    /// <param name="retention">Retention of that state.</param>
    public static NostrEvent CreateMessage(ReadOnlySpan<byte> key, in Bytes32 nostrGroupId, ReadOnlySpan<byte> mlsMessage, long innerCreatedAt,
        MessageRetention retention)
    {
        List<string[]> tags = [["h", nostrGroupId.ToString()]];
        if (retention.DueAt(innerCreatedAt) is { } due)
        {
            tags.Add(["expiration", due.ToString(CultureInfo.InvariantCulture)]);
        }

        return Create(key, tags, mlsMessage, innerCreatedAt);
    }

    /// <summary>Seals a commit or proposal, dated now.</summary>
    /// <param name="key">Exporter key of the state it is made in, 32 bytes; a commit is sealed with the key of the epoch it ends.</param>
    /// <param name="nostrGroupId">Routing id of that state, also when the commit changes the routing.</param>
    /// <param name="mlsMessage">A PublicMessage.</param>
    /// <param name="now">Unix seconds.</param>
    public static NostrEvent CreateHandshake(ReadOnlySpan<byte> key, in Bytes32 nostrGroupId, ReadOnlySpan<byte> mlsMessage, long now)
        => Create(key, [["h", nostrGroupId.ToString()]], mlsMessage, now);

    private static NostrEvent Create(ReadOnlySpan<byte> key, List<string[]> tags, ReadOnlySpan<byte> mlsMessage, long createdAt)
    {
        Span<byte> nonce = stackalloc byte[Sodium.NonceSize];
        RandomNumberGenerator.Fill(nonce);
        using var oneTime = SecretKey.Generate();
        return NostrEvent.Create(oneTime, GroupEvent.Kind, tags, GroupEvent.Seal(key, nonce, mlsMessage), createdAt);
    }

    private static string? Fault(NostrEvent evt)
    {
        bool hasExpiration = false;
        foreach (string[] tag in evt.Tags)
        {
            switch (tag)
            {
                case ["h", _]:
                    break; // once, and in lower case: GroupEvent looks
                case ["expiration", var value] when !hasExpiration:
                    hasExpiration = true;
                    if (!ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _))
                    {
                        return "the expiration is no number";
                    }

                    break;
                default:
                    return "a tag that the profile does not have";
            }
        }

        return null;
    }
}
