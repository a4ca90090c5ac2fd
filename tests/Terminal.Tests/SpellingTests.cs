namespace Marmot.Terminal.Tests;

public sealed class SpellingTests
{
    private static readonly string[] Names = ["export", "import", "stats", "delete", "gc"];

    [Theory]
    [InlineData("exprot", "export")]
    [InlineData("EXPORT", "export")]
    [InlineData("stat", "stats")]
    [InlineData("delte", "delete")]
    [InlineData("gv", "gc")]
    [InlineData("dance", null)]
    [InlineData("x", null)]
    public void A_name_is_proposed_only_where_a_typing_error_is_likely(string word, string? name) => Assert.Equal(name, Spelling.Meant(word, Names));

    [Theory]
    [InlineData("", "", 0)]
    [InlineData("", "abc", 3)]
    [InlineData("kitten", "sitting", 3)]
    [InlineData("abc", "acb", 1)]
    [InlineData("stpo", "stop", 1)]
    public void The_distance_is_the_number_of_letters_to_change(string left, string right, int distance)
    {
        Assert.Equal(distance, Spelling.Distance(left, right));
        Assert.Equal(distance, Spelling.Distance(right, left));
    }

    [Fact]
    public void Without_names_there_is_no_nearest_one() => Assert.Null(Spelling.Nearest("x", []));
}
