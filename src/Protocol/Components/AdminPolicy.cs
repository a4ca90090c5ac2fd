using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8003: the accounts that may change the group. Immutable and thread-safe.</summary>
public sealed class AdminPolicy
{
    private AdminPolicy(Bytes32[] admins) => Admins = admins;

    /// <summary>The admins, ascending; at least one.</summary>
    public IReadOnlyList<Bytes32> Admins { get; }

    /// <summary>These accounts in order; one that occurs twice counts once.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static AdminPolicy Of(IEnumerable<Bytes32> admins)
    {
        Bytes32[] sorted = [.. admins.Distinct().Order()];
        return sorted.Length > 0 ? new AdminPolicy(sorted) : throw new ArgumentException("a group has an admin", nameof(admins));
    }

    /// <summary>True for an admin.</summary>
    public bool Contains(in Bytes32 account) => Admins.Contains(account);

    /// <summary>Reads a body: ids strictly ascending, at least one.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out AdminPolicy? policy, out RejectReason reason)
    {
        var cursor = new VectorCursor(body);
        var ids = cursor.TakeVector();
        policy = null;
        reason = RejectReason.Invalid("the admin list is malformed, empty or not ascending");
        if (cursor.Failed || !cursor.AtEnd || ids.IsEmpty || ids.Length % Bytes32.Size != 0)
        {
            return false;
        }

        var admins = new Bytes32[ids.Length / Bytes32.Size];
        for (int i = 0; i < admins.Length; i++)
        {
            admins[i] = new Bytes32(ids.Slice(i * Bytes32.Size, Bytes32.Size));
            if (i > 0 && admins[i - 1] >= admins[i])
            {
                return false;
            }
        }

        policy = new AdminPolicy(admins);
        reason = default;
        return true;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes() => new VectorWriter().Vector([.. Admins.SelectMany(admin => admin.Span.ToArray())]).ToArray();
}
