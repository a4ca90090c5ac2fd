namespace Marmot.Protocol.Filters;

/// <summary>What one message may ask for before it is refused.</summary>
public sealed record FilterLimits
{
    /// <summary>The defaults.</summary>
    public static FilterLimits Default { get; } = new();

    /// <summary>Most values in one list (ids, authors, kinds or one tag). Default 1,000, our own choice: a follow list fits, and a filter stays below 128
    /// KiB.</summary>
    public int MaxValuesPerList { get; init; } = 1000;

    /// <summary>Most different tag letters in one filter. Default 10.</summary>
    public int MaxTagLetters { get; init; } = 10;

    /// <summary>Longest tag value in characters. Default 1,024.</summary>
    public int MaxTagValueLength { get; init; } = 1024;

    /// <summary>Longest search text in characters (NIP-50). Default 256.</summary>
    public int MaxSearchLength { get; init; } = 256;

    /// <summary>Most filters in one REQ or COUNT. Default 20.</summary>
    public int MaxFilters { get; init; } = 20;
}
