namespace Marmot.Client.Groups;

/// <summary>
/// What deployed clients can keep. MLS and the profile allow more, but a peer whose store refuses a value goes on without the step that carried it and stays
/// behind for good, so it is refused where it is made, with the limit named.
/// </summary>
internal static class SenderLimits
{
    /// <summary>Bytes of a group's name in UTF-8; MDK's store takes no more.</summary>
    internal const int MaxNameBytes = 255;

    /// <summary>Bytes of a group's description in UTF-8; MDK's store takes no more.</summary>
    internal const int MaxDescriptionBytes = 2_000;

    /// <summary>Bytes of an inner event as JSON; MDK's store takes no more.</summary>
    internal const int MaxInnerEventBytes = 100 * 1024;

    /// <summary>Hex digits of a key package's <c>d</c> tag (MIP-00).</summary>
    internal const int SlotDigits = 64;

    /// <exception cref="ClientException">A text is too long; the message names the limit.</exception>
    internal static void CheckGroup(string name, string description)
    {
        Check("a group's name", System.Text.Encoding.UTF8.GetByteCount(name), MaxNameBytes);
        Check("a group's description", System.Text.Encoding.UTF8.GetByteCount(description), MaxDescriptionBytes);
    }

    /// <exception cref="ClientException">It is too long; the message names the limit.</exception>
    internal static void CheckInnerEvent(int bytes) => Check("a message with its tags", bytes, MaxInnerEventBytes);

    /// <exception cref="ClientException">It is not 64 lower-case hex digits.</exception>
    internal static void CheckSlot(string slot)
    {
        if (slot.Length != SlotDigits || !slot.All(char.IsAsciiHexDigitLower))
        {
            throw new ClientException($"the d tag of a key package is {SlotDigits} lower-case hex digits, not {slot}");
        }
    }

    private static void Check(string what, int bytes, int limit)
    {
        if (bytes > limit)
        {
            throw new ClientException($"{what} has at most {limit} bytes, not {bytes}: deployed clients cannot keep more");
        }
    }
}
