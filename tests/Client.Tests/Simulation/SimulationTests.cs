using System.Globalization;
using Xunit.Abstractions;

namespace Marmot.Client.Tests.Simulation;

public class SimulationTests(ITestOutputHelper output)
{
    /// <summary>Seeds of the usual run. More: MARMOT_SIM_SEEDS=1-200, MARMOT_SIM_STEPS=2000, MARMOT_SIM_CLIENTS=10.</summary>
    public static TheoryData<int> Seeds
    {
        get
        {
            string[] range = (Environment.GetEnvironmentVariable("MARMOT_SIM_SEEDS") ?? "1-6").Split('-');
            int first = int.Parse(range[0], CultureInfo.InvariantCulture);
            int last = int.Parse(range[^1], CultureInfo.InvariantCulture);
            return [.. Enumerable.Range(first, last - first + 1)];
        }
    }

    [Theory]
    [Trait("Spec", "MIP-03")]
    [MemberData(nameof(Seeds))]
    public async Task Through_loss_repetition_disorder_delay_partitions_wrong_clocks_and_crashes_all_members_end_in_one_epoch_with_the_same_messages(int seed)
    {
        // Five to ten clients; ten for thousands of steps.
        int clients = Number("MARMOT_SIM_CLIENTS", 4 + (seed % 7));
        var simulation = new Simulation(seed, Number("MARMOT_SIM_STEPS", clients == 10 ? 2000 : 600), clients);
        await simulation.RunAsync();
        output.WriteLine(
            $"seed {seed}: epoch {simulation.Epoch}, {simulation.Messages} messages, {simulation.RollBacks} epochs taken back, {simulation.Crashes} restarts, "
                + $"{simulation.Orphans} lost invitations");
    }

    /// <summary>Commits of one second are put in order by their ids, which are random: both ways must hold. So a seed does not replay here, and a failure may
    /// need some runs to be seen again.</summary>
    [Theory]
    [Trait("Spec", "MIP-03")]
    [InlineData(4)]
    [InlineData(8)]
    public async Task Commits_of_one_second_end_alike_for_all_whichever_has_the_smaller_id(int seed) =>
        await new Simulation(seed, Number("MARMOT_SIM_STEPS", 600), clients: 4 + (seed % 7), hasTies: true).RunAsync();

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_seed_replays_step_by_step()
    {
        var first = new Simulation(9, 300, 6);
        var second = new Simulation(9, 300, 6);
        await first.RunAsync();
        await second.RunAsync();
        Assert.Equal(first.Trace, second.Trace);
        Assert.NotEqual(0, first.Crashes);
    }

    private static int Number(string name, int usual) =>
        Environment.GetEnvironmentVariable(name) is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : usual;
}
