using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Components;

/// <summary>Roles in text streams (component 0x8006).</summary>
[Flags]
public enum StreamRoles
{
    /// <summary>No role.</summary>
    None = 0,

    /// <summary>Shows the final durable message; leaf capability 0xf2d1.</summary>
    Receive = 1,

    /// <summary>Sends streams; 0xf2d2.</summary>
    Send = 2,

    /// <summary>Passes streams on; 0xf2d4.</summary>
    Broker = 4,
}

/// <summary>Component 0x8006: who may stream text over QUIC, and how large. Immutable and thread-safe.</summary>
/// <param name="Required">Roles that every member has; at least one.</param>
/// <param name="Allowed">Roles that may be taken; all of <paramref name="Required"/> among them.</param>
/// <param name="MaxPlaintextFrame">Bytes; 1 to <see cref="MaxFrameSize"/>.</param>
/// <param name="ReplaySeconds">At most <see cref="MaxReplaySeconds"/>.</param>
/// <param name="Padding">Bytes; at most <see cref="MaxPadding"/>.</param>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Naming", "CA1711", Justification = "The specification's own name of the component.")]
public sealed record AgentTextStream(StreamRoles Required, StreamRoles Allowed, uint MaxPlaintextFrame, uint ReplaySeconds, ushort Padding)
{
    /// <summary>Largest frame in bytes: 65,535 less a tag of 16.</summary>
    public const uint MaxFrameSize = 65_519;

    /// <summary>Longest replay time in seconds.</summary>
    public const uint MaxReplaySeconds = 300;

    /// <summary>Largest padding in bytes.</summary>
    public const ushort MaxPadding = 4096;

    private const StreamRoles Known = StreamRoles.Receive | StreamRoles.Send | StreamRoles.Broker;
    private const int Size = 1 + 1 + 4 + 4 + 2;

    /// <summary>Leaf capabilities that stand for the roles: extension types 0xf2d1, 0xf2d2, 0xf2d4 without data.</summary>
    public static ushort CapabilityOf(StreamRoles role) => (ushort)(0xf2d0 | (int)role);

    /// <summary>Reads a body.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out AgentTextStream? stream, out RejectReason reason)
    {
        stream = body.Length == Size
            ? new AgentTextStream((StreamRoles)body[0], (StreamRoles)body[1], BinaryPrimitives.ReadUInt32BigEndian(body[2..]),
                BinaryPrimitives.ReadUInt32BigEndian(body[6..]),
                BinaryPrimitives.ReadUInt16BigEndian(body[10..]))
            : null;
        bool good = stream is
        {
            MaxPlaintextFrame: > 0
            and <= MaxFrameSize, ReplaySeconds: <= MaxReplaySeconds, Padding: <= MaxPadding, Required: not StreamRoles.None
        }
            && (stream.Allowed & ~Known) == 0 && (stream.Required & ~stream.Allowed) == 0;
        reason = good ? default : RejectReason.Invalid("the text stream settings are malformed or out of range");
        stream = good ? stream : null;
        return good;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes() =>
        new VectorWriter().Fixed([(byte)Required, (byte)Allowed]).UInt32(MaxPlaintextFrame).UInt32(ReplaySeconds).UInt16(Padding).ToArray();
}
