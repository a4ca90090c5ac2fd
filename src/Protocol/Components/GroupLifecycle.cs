using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x800c: whether the group lives. Immutable and thread-safe.</summary>
/// <param name="IsDisbanded">True once an admin has ended the group for everybody; terminal.</param>
public sealed record GroupLifecycle(bool IsDisbanded)
{
    /// <summary>The state of a group that lives.</summary>
    public static GroupLifecycle Active { get; } = new(false);

    /// <summary>The state of a group that has ended.</summary>
    public static GroupLifecycle Disbanded { get; } = new(true);

    /// <summary>Reads a body: one byte, 0 or 1.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out GroupLifecycle? lifecycle, out RejectReason reason)
    {
        bool good = body.Length == 1 && body[0] <= 1;
        lifecycle = good ? body[0] == 0 ? Active : Disbanded : null;
        reason = good ? default : RejectReason.Invalid("the lifecycle is not 0 or 1");
        return good;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes() => [IsDisbanded ? (byte)1 : (byte)0];
}
