using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>The whole suite in one real process for the stories of a class.</summary>
public class SuiteFixture : IAsyncLifetime
{
    private readonly TemporaryFolder _data = new();

    public MarmotServerProcess Suite { get; private set; } = null!;

    public virtual async Task InitializeAsync() => Suite = await MarmotServerProcess.StartAsync("all", _data.File("data"), Settings(_data));

    public virtual async Task DisposeAsync()
    {
        await Suite.DisposeAsync();
        _data.Dispose();
    }

    /// <summary>Settings beside the usual ones.</summary>
    /// <param name="folder">Where files they name can lie.</param>
    protected virtual string[] Settings(TemporaryFolder folder) => [];
}
