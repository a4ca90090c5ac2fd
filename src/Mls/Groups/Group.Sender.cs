using Marmot.Mls.Messages;

namespace Marmot.Mls.Groups;

/// <summary>Where an application message stands among those of its sender.</summary>
/// <param name="Leaf">The sender's leaf, as the message says; not verified.</param>
/// <param name="Generation">Its generation, as the message says; not verified.</param>
/// <param name="Ahead">How many generations of the sender are skipped when this message is processed now; 0 for the next one and for earlier ones.</param>
public readonly record struct MessagePosition(int Leaf, uint Generation, uint Ahead);

public sealed partial class Group
{
    /// <summary>
    /// Skipped keys kept per sender: a message further ahead than this costs keys of the messages before it (RFC 9420, 9). Whoever expects those to arrive
    /// processes them first.
    /// </summary>
    public const int MaxSkippedKeys = Schedule.SecretTree.MaxSkipped;

    /// <summary>How far ahead of a sender's last known generation a message may be (RFC 9420, 9).</summary>
    public const int MaxForwardGenerations = Schedule.SecretTree.MaxForward;

    /// <summary>Like <see cref="TryReadSender"/>, for application messages, with the distance from what was processed of the sender; false for other
    /// messages.</summary>
    public bool TryLocate(MlsMessage message, out MessagePosition position)
    {
        position = default;
        if (message.ContentType != ContentType.Application || !TryReadSender(message, out var sender))
        {
            return false;
        }

        uint next = StateOf(message.Epoch).SecretTree.NextGeneration(sender.Leaf);
        position = new MessagePosition(sender.Leaf, sender.Generation, sender.Generation > next ? sender.Generation - next : 0);
        return true;
    }
}
