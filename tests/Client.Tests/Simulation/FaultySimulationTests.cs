namespace Marmot.Client.Tests.Simulation;

public sealed class FaultySimulationTests
{
    private const int Steps = 250;

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 3)]
    [InlineData(3, 4)]
    [InlineData(4, 5)]
    [InlineData(5, 6)]
    [InlineData(6, 8)]
    [InlineData(7, 10)]
    [InlineData(8, 10)]
    [Trait("Spec", "MIP-03")]
    public async Task Whatever_the_relays_do_all_members_end_in_one_epoch_with_the_same_messages(int seed, int clients)
    {
        await using var simulation = new FaultySimulation(seed, clients);
        await simulation.StartAsync();
        for (int step = 1; step <= Steps; step++)
        {
            await simulation.StepAsync(step);
        }

        bool agreed = await simulation.HealAsync();
        Assert.True(agreed, $"seed {seed}, {clients} clients:\n{string.Join('\n', simulation.Differences().Take(20))}\n{string.Join('\n', simulation.Log.TakeLast(60))}");
        Assert.True(simulation.Commits > 0, "nothing happened");
    }
}
