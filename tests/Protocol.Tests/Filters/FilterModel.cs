using System.Text.Json;

namespace Marmot.Protocol.Tests.Filters;

/// <summary>The slow, obvious filter: NIP-01's sentences over a JSON library's objects.</summary>
internal static class FilterModel
{
    public static bool Matches(JsonElement filter, JsonElement evt)
    {
        foreach (var condition in filter.EnumerateObject())
        {
            var holds = condition.Name switch
            {
                "ids" => Strings(condition.Value).Contains(evt.GetProperty("id").GetString()!),
                "authors" => Strings(condition.Value).Contains(evt.GetProperty("pubkey").GetString()!),
                "kinds" => condition.Value.EnumerateArray().Any(kind => kind.GetInt32() == evt.GetProperty("kind").GetInt32()),
                "since" => condition.Value.GetInt64() <= evt.GetProperty("created_at").GetInt64(),
                "until" => condition.Value.GetInt64() >= evt.GetProperty("created_at").GetInt64(),
                "limit" or "search" => true,
                var name => evt.GetProperty("tags").EnumerateArray().Any(tag =>
                    tag.GetArrayLength() > 1
                    && tag[0].GetString() == name[1..]
                    && Strings(condition.Value).Contains(tag[1].GetString()!)),
            };
            if (!holds)
            {
                return false;
            }
        }

        return true;
    }

    private static List<string> Strings(JsonElement array) => [.. array.EnumerateArray().Select(item => item.GetString()!)];
}
