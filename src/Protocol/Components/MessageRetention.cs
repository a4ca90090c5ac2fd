using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Components;

/// <summary>Component 0x8005: after how many seconds a message is deleted by everybody. Immutable and thread-safe.</summary>
/// <param name="Seconds">0 is off; every other value is valid.</param>
public sealed record MessageRetention(ulong Seconds)
{
    /// <summary>Without it, or with it switched off.</summary>
    public static MessageRetention Off { get; } = new(0);

    /// <summary>Reads a body: eight bytes.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out MessageRetention? retention, out RejectReason reason)
    {
        bool good = body.Length == sizeof(ulong);
        retention = good ? new MessageRetention(BinaryPrimitives.ReadUInt64BigEndian(body)) : null;
        reason = good ? default : RejectReason.Invalid("the retention is not eight bytes");
        return good;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes() => new VectorWriter().UInt64(Seconds).ToArray();

    /// <summary>
    /// When a message made in a state with this retention is due, in Unix seconds: its inner <c>created_at</c> plus the seconds, whatever the outer event says.
    /// Null when it is never due: switched off, or the sum does not fit into 64 bits.
    /// </summary>
    public ulong? DueAt(long innerCreatedAt)
        => Seconds == 0 || innerCreatedAt < 0 || Seconds > ulong.MaxValue - (ulong)innerCreatedAt ? null : (ulong)innerCreatedAt + Seconds;

    /// <summary>True when such a message must be gone at this time.</summary>
    public bool IsDue(long innerCreatedAt, long now) => DueAt(innerCreatedAt) is { } due && now >= 0 && (ulong)now >= due;
}
