using Marmot.Blossom.Storage;

namespace Marmot.Blossom.Retention;

/// <summary>Whether index and store answer, as the last who asked found out. A request that fails says so at once; the janitor's probe clears it.</summary>
internal sealed class StorageHealth(ILogger<StorageHealth> logger)
{
    private volatile string? _away;

    /// <summary>Which part does not answer, and how that showed; null when all do.</summary>
    public string? Away => _away;

    public void Down(StorageUnavailableException error)
    {
        if (_away is null)
        {
            BlossomLog.StorageAway(logger, error.Part, error.Kind ?? "no answer");
        }

        _away = error.Kind is { } kind ? $"{error.Part} answers nonsense: {kind}" : $"{error.Part} does not answer";
    }

    public void Up()
    {
        if (_away is not null)
        {
            BlossomLog.StorageBack(logger);
        }

        _away = null;
    }
}
