-- Settles the charges of one or more decisions, each of them all or none.
--
-- KEYS     one bucket for each charge.
-- ARGV[1]  one record for each charge, 42 bytes, little-endian:
--            operation  1 byte   1 take, 2 owe, 3 give back, 4 debit
--            following  1 byte   charges of the same decision that follow this one
--            tokens     4 bytes  units gained in a microsecond
--            taken      8 bytes  a double, as is the next one: units that are taken; where that is 0,
--                                those of one token have to be there, and nothing is taken
--            capacity   8 bytes  units in a full bucket
--            quota     20 bytes  kept with the bucket: tokens (4), period (8), burst (4), plan (4)
-- Reply    one double for each charge: the units that its bucket is short of; for a refusal
--          -1 less that; -2^60 where what the key holds is no bucket.
--
-- A bucket is kept as two doubles and its quota: the moment at which it was last touched, in
-- microseconds since 1970, and the units that were spent then. After the quota stand, where there
-- are any, the tokens that a lower burst forgave (4 bytes). All are whole numbers of at most 2^53,
-- so doubles are exact.
--
-- The common case comes first, and makes no function: charges that are taken, each under the quota
-- that its bucket was last used under. Most of the time is the server's, for TIME, GET and SET; what
-- is packed is one string, and a number is written here, since the server writes all 17 digits.

local call, decode, encode, format = redis.call, struct.unpack, struct.pack, string.format
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local keys, records, count = KEYS, ARGV[1], #KEYS
local replies = count > 1 and {}
-- Of the decision: its first charge, those that were opened, and whether all can be taken.
local first, opened, is_granted, general = 1, nil, true, nil
local at = 1
while at <= count do
  local operation, following, tokens, taken, capacity, quota =
    decode('<BBI4ddc20', records, at * 42 - 41)
  local spent
  if operation == 1 then
    local kept = redis.pcall('GET', keys[at])
    if not kept then
      spent = 0
    elseif #kept == 36 then
      local seen, under
      seen, spent, under = decode('<ddc20', kept)
      if under == quota and seen <= now and spent >= 0 and spent <= 9007199254740992 then
        spent = spent - (now - seen) * tokens
        if spent < 0 then spent = 0 end
      else
        spent = nil
      end
    end
  end
  if not spent then
    replies = replies or {}
    general = general or function(first)
      local TAKE, OWE, GIVE_BACK = 1, 2, 3
      local MOST, BURSTS = 9007199254740992, 256
      local ceil, floor = math.ceil, math.floor

      -- a * b / c, rounded up, and at most MOST. Exact: b and c are at most 2^52.
      local function restate(a, b, c)
        local whole, rest, quotient, left = floor(b / c), b % c, 0, 0
        for bit = 53, 0, -1 do
          quotient, left = quotient * 2, left * 2
          if left >= c then quotient, left = quotient + 1, left - c end
          if a >= 2 ^ bit then
            a, quotient, left = a - 2 ^ bit, quotient + whole, left + rest
            if left >= c then quotient, left = quotient + 1, left - c end
          end
        end
        if left > 0 then quotient = quotient + 1 end
        return math.min(quotient, MOST)
      end

      -- Forgives so many tokens, or all that was spent.
      local function forgive(spent, tokens, period)
        tokens = math.min(tokens, ceil(spent / period))
        return math.max(spent, tokens * period), tokens
      end

      -- A bucket under this quota: units spent, tokens of these that are forgiven, and whether it
      -- has to be kept anew. Nothing where the key holds no bucket.
      local function open(key, capacity, quota)
        local kept = redis.pcall('GET', key)
        if not kept then return 0, 0, false end
        if type(kept) ~= 'string' or #kept ~= 36 and #kept ~= 40 then return end
        local seen, spent, from_tokens, from_period, from_burst, from_plan =
          decode('<ddI4dI4I4', kept)
        local from_capacity = from_burst * from_period
        local is_bucket = seen >= 0 and spent >= 0 and from_tokens > 0 and from_period >= 1
          and from_burst > 0 and from_capacity <= MOST
        if not is_bucket then return end
        local forgiven = #kept == 40 and decode('<I4', kept, 37) or 0
        spent = math.min(floor(spent), MOST)
        -- Where the clock was set back, nothing is refilled, and the bucket goes on from there.
        local is_changed = seen > now
        if not is_changed then spent = math.max(spent - (now - seen) * from_tokens, 0) end
        spent, forgiven = forgive(spent, forgiven, from_period)
        if string.sub(kept, 17, 36) == quota then return spent, forgiven, is_changed end

        local _, period, _, plan = decode('<I4dI4I4', quota)
        local missing = spent - forgiven * from_period
        spent = restate(spent, period, from_period)
        if plan ~= from_plan then
          -- The client came with another plan: it keeps all that it spent.
          local beyond = ceil(math.max(spent - capacity, 0) / period)
          spent, forgiven = forgive(spent, math.min(beyond, forgiven), period)
          return spent, forgiven, true
        end
        -- The policy changed the quota: the bucket is at most empty, but for debts.
        local debt = restate(math.max(missing - from_capacity, 0), period, from_period)
        local owed = math.max(spent - debt, 0)
        forgiven = ceil(math.max(owed - capacity, 0) / period)
        spent = math.min(owed, capacity) + math.min(debt, spent) + forgiven * period
        return spent, forgiven, true
      end

      -- What a bucket is short of then, and whether the charge is granted.
      local function settle(operation, missing, taken, period, capacity)
        if operation == TAKE then
          if missing + (taken > 0 and taken or period) > capacity then return missing, false end
          return missing + taken, true
        end
        if operation == GIVE_BACK then return math.max(missing - taken, 0), true end
        local most = operation == OWE and math.min(capacity * BURSTS, MOST) or capacity
        return math.min(missing + taken, math.max(most, missing)), true
      end

      local _, following = decode('<BB', records, first * 42 - 41)
      local opened, is_granted = {}, true
      for index = first, first + following do
        local operation, _, tokens, taken, capacity, quota =
          decode('<BBI4ddc20', records, index * 42 - 41)
        local spent, forgiven, is_changed = open(KEYS[index], capacity, quota)
        if spent then
          local _, period = decode('<I4d', quota)
          local relief = forgiven * period
          local after, is_there = settle(operation, spent - relief, taken, period, capacity)
          is_granted = is_granted and is_there
          opened[index] = { spent - relief, after, relief, forgiven, is_changed, taken > 0, tokens, quota }
        else
          opened[index], is_granted = false, false
        end
      end
      for index = first, first + following do
        if opened[index] then
          local before, after, relief, forgiven, is_changed, takes, tokens, quota =
            unpack(opened[index])
          local missing = is_granted and after or before
          if is_granted and takes or is_changed then
            local spent = missing + relief
            if spent > 0 then
              local kept = encode('<dd', now, spent) .. quota
              if forgiven > 0 then kept = kept .. encode('<I4', forgiven) end
              call('SET', KEYS[index], kept, 'PX', ceil(spent / (tokens * 1000)) + 1)
            else
              call('DEL', KEYS[index])
            end
          end
          replies[index] = is_granted and missing or -1 - missing
        else
          replies[index] = -1152921504606846976
        end
      end
      return first + following + 1
    end
    at = general(first)
    first, is_granted = at, true
  else
    local needed = taken
    if taken == 0 then needed = decode('<d', quota, 5) end
    is_granted = is_granted and spent + needed <= capacity
    if at == first and following == 0 then
      -- A decision of one charge.
      if not is_granted then
        spent = -1 - spent
      elseif taken > 0 then
        spent = spent + taken
        -- Until it is full, when it equals one that is not there; the server's clock of
        -- milliseconds may be one behind.
        call('SET', keys[at], encode('<ddc20', now, spent, quota), 'PX',
          format('%d', math.ceil(spent / (tokens * 1000)) + 1))
      end
      if not replies then return encode('<d', spent) end
      replies[at] = spent
    else
      opened = opened or {}
      opened[at] = { spent, taken, tokens, quota }
      for index = first, following == 0 and at or 0 do
        local spent, taken, tokens, quota = unpack(opened[index])
        if not is_granted then
          spent = -1 - spent
        elseif taken > 0 then
          spent = spent + taken
          call('SET', keys[index], encode('<ddc20', now, spent, quota), 'PX',
            format('%d', math.ceil(spent / (tokens * 1000)) + 1))
        end
        replies[index] = spent
      end
    end
    at = at + 1
    if following == 0 then first, is_granted = at, true end
  end
end
if count == 1 then return encode('<d', replies[1]) end
return encode('<' .. string.rep('d', count), unpack(replies))
