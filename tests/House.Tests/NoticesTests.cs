using System.Text.Json;

namespace Marmot.House.Tests;

public class NoticesTests
{
    /// <summary>Packages that are there while building and put nothing into the output.</summary>
    private static readonly string[] OnlyForBuilding = ["Microsoft.EntityFrameworkCore.Analyzers", "Microsoft.NET.ILLink.Tasks"];

    [Fact]
    public void Every_package_that_the_server_ships_stands_in_the_notices_with_its_licence()
    {
        var assets = Path.Combine(Repository.Root, "src", "AllInOne", "obj", "project.assets.json");
        Assert.True(File.Exists(assets), "the solution has not been restored");
        using var json = JsonDocument.Parse(File.ReadAllBytes(assets));
        var shipped = json.RootElement.GetProperty("libraries").EnumerateObject()
            .Where(library => library.Value.GetProperty("type").GetString() == "package")
            .Select(library => library.Name.Split('/')[0])
            .Except(OnlyForBuilding)
            .ToArray();
        var noticed = File.ReadLines(Path.Combine(Repository.Root, "THIRD-PARTY-NOTICES.txt"))
            .Select(line => line.Split(" | "))
            .Where(columns => columns.Length == 3 && columns[1].Length > 0)
            .Select(columns => columns[0])
            .ToHashSet(StringComparer.Ordinal);
        Assert.NotEmpty(shipped);
        Assert.DoesNotContain(shipped, name => !noticed.Contains(name));
    }
}
