namespace Marmot.Terminal;

/// <summary>What a program ends with.</summary>
public static class ExitCodes
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>The thing asked for failed.</summary>
    public const int Failed = 1;

    /// <summary>Wrong usage or settings: a repetition alone does not help.</summary>
    public const int WrongUsage = 2;
}
