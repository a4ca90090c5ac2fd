using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>The whole suite in one real process for the stories of a class.</summary>
public sealed class SuiteFixture : IAsyncLifetime
{
    private readonly TemporaryFolder _data = new();

    public MarmotServerProcess Suite { get; private set; } = null!;

    public async Task InitializeAsync() => Suite = await MarmotServerProcess.StartAsync("all", _data.File("data"));

    public async Task DisposeAsync()
    {
        await Suite.DisposeAsync();
        _data.Dispose();
    }
}
