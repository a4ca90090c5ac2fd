using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

/// <summary>The relay's folders are rooms that a message passes; a room refers only to those right of it.</summary>
public partial class RelayRoomsTests
{
    /// <summary>Left to right. What stands in src/Relay itself (settings, metrics, refusals, the composition) is for all.</summary>
    private static readonly string[] Rooms =
    [
        "Operator", "Maintenance", "Management", "Pages", "Connections", "Dispatch", "Ingest", "Queries", "Live", "Replies", "Frames", "Budgets", "Storage",
        "Turns",
    ];

    private static string Relay => Path.Combine(Repository.Root, "src", "Relay");

    [Fact]
    public void Every_folder_of_the_relay_is_a_room_of_the_table()
    {
        var folders = Directory.GetDirectories(Relay).Select(folder => Path.GetFileName(folder)!).Except(["bin", "obj"]);
        Assert.Equal(Rooms.Order(StringComparer.Ordinal), folders.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_room_of_the_relay_refers_only_to_rooms_right_of_it()
    {
        var offenders = new List<string>();
        for (int i = 0; i < Rooms.Length; i++)
        {
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Relay, Rooms[i]), "*.cs", SearchOption.AllDirectories))
            {
                string code = Literals().Replace(File.ReadAllText(file), "\"\"");
                offenders.AddRange(Rooms.Take(i).Where(left => Refers(code, left)).Select(left => $"{Path.GetRelativePath(Relay, file)} -> {left}"));
            }
        }

        Assert.Empty(offenders);
    }

    /// <summary>Tickets of checked events are made where events are checked, so that no room can skip the check.</summary>
    [Fact]
    public void Only_the_event_check_makes_tickets()
    {
        var makers = Directory.EnumerateFiles(Relay, "*.cs", SearchOption.AllDirectories)
            .Where(file => Ticket().IsMatch(Literals().Replace(File.ReadAllText(file), "\"\"")))
            .Select(file => Path.GetFileName(file))
            .Order(StringComparer.Ordinal);
        Assert.Equal(["CheckedEvent.cs", "EventCheck.cs"], makers);
    }

    [Theory]
    [InlineData("using Marmot.Relay.Ingest;", true)]
    [InlineData("Marmot.Relay.Ingest.Admission x;", true)]
    [InlineData("throw Ingest.Admission.Refuse();", true)]
    [InlineData("/// <see cref=\"Ingest.Admission\"/>", true)]
    [InlineData("using Marmot.Relay.Live;", false)]
    [InlineData("options.Ingest.Value", false)]
    public void Finds_a_reference_in_every_way_to_write_it(string code, bool found) => Assert.Equal(found, Refers(code, "Ingest"));

    private static bool Refers(string code, string room) =>
        Regex.IsMatch(code, $@"Marmot\.Relay\.{room}\b", RegexOptions.CultureInvariant)
        || Regex.IsMatch(code, $@"(?<![\w.]){room}\.[A-Z]", RegexOptions.CultureInvariant);

    // Not those of cref, which is a reference.
    [GeneratedRegex("(?<!cref=)\"(?:\\\\.|[^\"\\\\\\n])*\"")]
    private static partial Regex Literals();

    [GeneratedRegex(@"new (VerifiedEvent|DeferredEvent)\(|CheckedEvent\.(OfVerified|OfDeferred)\(")]
    private static partial Regex Ticket();
}
